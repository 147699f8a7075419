"""A sign-in by an issuer, there and back (OpenID Connect Core 1.0 §3.1, RFC 7636, RFC 9207).

The browser gets 256 random bits as a cookie. Their SHA-256 is `state` and the key of a row; nonce
and PKCE's verifier are derived from them. So an answer counts in the browser that asked for it,
within ten minutes and once, and nothing that is stored would help anybody to finish it.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from rollcall.control import console_access
from rollcall.control.console_access import ISSUER
from rollcall.observability.logging import get_logger
from rollcall.postgres.console import console_accounts as accounts
from rollcall.postgres.console import console_issuers as issuers
from rollcall.postgres.console.console_accounts import Account, Role
from rollcall.postgres.console.console_issuers import Flow, Issuer, IssuerRole
from rollcall.postgres.pool import Database
from rollcall.runtime.clock import now
from rollcall.runtime.ids import new_id, parse_id
from rollcall.runtime.sealed import Sealer
from rollcall_console.door.oidc.claims import (
    LEEWAY_S,
    Expected,
    NotAccepted,
    Person,
    ended_by,
    may_be_issuer,
    person_of,
)
from rollcall_console.door.oidc.provider import Metadata, Providers
from rollcall_console.door.sign_ins import SignedIn, SignIns

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

FLOW_S: Final = 600.0
AGAIN_S: Final = 60.0
"""How long ago somebody may have shown who they are, where that is asked for again."""
SCOPE: Final = "openid profile email"
CALLBACK: Final = "/sign-in/answer"
STRENGTH: Final[Mapping[Role, int]] = {"auditor": 0, "admin": 1, "owner": 2}

log = get_logger()


@dataclass(frozen=True, slots=True)
class Begun:
    """Where the browser goes, and what it keeps meanwhile."""

    url: str
    token: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back with the browser: the parameters of the address, and the cookie."""

    token: str
    state: str
    code: str | None
    error: str | None
    issuer: str | None


class OidcSignIns:
    """Sends to issuers, and believes what comes back as far as it is proven."""

    def __init__(
        self,
        database: Database,
        sign_ins: SignIns,
        sealer: Sealer,
        providers: Providers,
        root_url: str,
    ) -> None:
        self._database = database
        self._sign_ins = sign_ins
        self._sealer = sealer
        self._providers = providers
        self._redirect_uri = f"{root_url}{CALLBACK}"

    async def listed(self) -> list[Issuer]:
        """The issuers that the sign-in page names. Raises Unavailable."""
        async with self._database.connection() as connection:
            return [each for each in await issuers.list_all(connection) if each.is_listed]

    async def find(self, issuer_id: str) -> Issuer | None:
        """An issuer. Raises Unavailable."""
        if parse_id(issuer_id) != issuer_id:
            return None
        async with self._database.connection() as connection:
            return await issuers.find(connection, issuer_id)

    async def issuer_of(self, account_id: str) -> Issuer | None:
        """The issuer that speaks of an account; None for a local one. Raises Unavailable."""
        async with self._database.connection() as connection:
            issuer_id = await issuers.issuer_of(connection, account_id)
            return None if issuer_id is None else await issuers.find(connection, issuer_id)

    async def begin(self, issuer: Issuer, go_to: str, again_for: str | None = None) -> Begun:
        """Send somebody to their issuer; `again_for` an account that shows again who it is.

        Raises NotAccepted, Unavailable.
        """
        metadata = await self._providers.metadata(issuer)
        token = console_access.new_token()
        async with self._database.connection() as connection:
            await issuers.begin_flow(
                connection, _digest(token), issuer.id,
                go_to=go_to, again_for=again_for, seconds=FLOW_S,
            )  # fmt: skip
        challenge = hashlib.sha256(_derived(token, "verifier").encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": issuer.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": SCOPE,
            "state": _text(_digest(token)),
            "nonce": _derived(token, "nonce"),
            "code_challenge": _text(challenge),
            "code_challenge_method": "S256",
        }
        if again_for is not None:
            asked |= {"max_age": "0", "prompt": "login"}
        mark = "&" if "?" in metadata.authorization_endpoint else "?"
        return Begun(f"{metadata.authorization_endpoint}{mark}{urlencode(asked)}", token)

    async def finish(self, answer: Answer) -> tuple[SignedIn, str]:
        """A session, and where to go on. Raises NotAccepted, Unavailable."""
        digest = console_access.digest(answer.token)
        if digest is None or not hmac.compare_digest(_text(digest).encode(), answer.state.encode()):
            raise NotAccepted("state")
        async with self._database.connection() as connection:
            flow = await issuers.end_flow(connection, digest)
            issuer = None if flow is None else await issuers.find(connection, flow.issuer_id)
        if flow is None or issuer is None or not flow.is_in_time:
            raise NotAccepted("state")
        expected = self._expected(issuer)
        metadata = await self._providers.metadata(issuer)
        _check_answer(answer, metadata, expected)
        person = await self._person(issuer, expected, answer, is_again=flow.again_for is not None)
        return await self._enter(issuer, flow, person), flow.go_to

    async def log_out(self, issuer: Issuer, token: object) -> None:
        """End what a logout token names, once. Raises NotAccepted, Unavailable."""
        claims = await self._providers.claims(issuer, token)
        ended = ended_by(claims, self._expected(issuer))
        digest = hashlib.sha256(f"{issuer.id} {ended.id}".encode()).digest()
        async with self._database.transaction() as connection:
            if not await issuers.spend(
                connection, digest, datetime.fromtimestamp(ended.expires + LEEWAY_S, UTC)
            ):
                raise NotAccepted("logout")
            await issuers.end_sessions(
                connection, issuer.id, session=ended.session, subject=ended.subject
            )
        log.info("account.logged_out_by_issuer", issuer_id=issuer.id)

    def _expected(self, issuer: Issuer) -> Expected:
        return Expected(issuer.url, issuer.client_id, issuer.tenants, now().timestamp())

    async def _person(
        self, issuer: Issuer, expected: Expected, answer: Answer, *, is_again: bool
    ) -> Person:
        secret = None
        if issuer.secret_sealed is not None:
            secret = self._sealer.open(issuer.secret_sealed, ISSUER, issuer.id).decode()
        found = await self._providers.redeem(
            issuer,
            secret,
            {
                "code": answer.code or "",
                "redirect_uri": self._redirect_uri,
                "code_verifier": _derived(answer.token, "verifier"),
            },
        )
        claims = await self._providers.claims(issuer, found.get("id_token"))
        return person_of(
            claims,
            expected,
            nonce=_derived(answer.token, "nonce"),
            roles_claim=issuer.roles_claim,
            max_age_s=AGAIN_S if is_again else None,
        )

    async def _enter(self, issuer: Issuer, flow: Flow, person: Person) -> SignedIn:
        async with self._database.transaction() as connection:
            given = given_by(await issuers.roles_of(connection, issuer.id), person)
            account = await self._account(connection, issuer, person)
            await issuers.update_account(
                connection, account.id, email=person.email, name=person.name,
                is_operator=given.is_operator, roles=given.roles,
            )  # fmt: skip
            for organisation_id, role in given.roles.items():
                await accounts.grant(connection, account.id, organisation_id, role)
            has_role = given.is_operator or bool(given.roles)
            is_other = flow.again_for not in (None, account.id)
            made = None
            if has_role and not is_other and account.disabled is None:
                made = await self._sign_ins.by_issuer(
                    connection, account, issuer.id, person.session
                )
        if is_other:
            raise NotAccepted("other_account")
        if made is None:  # what was taken away is taken away all the same
            raise NotAccepted("no_role")
        return made

    async def _account(self, connection: "Connection", issuer: Issuer, person: Person) -> Account:
        """The account that stands for a person, made at their first sign-in."""
        found = await issuers.account_of(connection, issuer.id, person.subject)
        if found is None:
            key = hashlib.sha256(f"{issuer.id} {person.subject}".encode()).hexdigest()
            # The key can be typed by nobody as an address, and is the same for two that come at
            # once; an account with that address is another one.
            await accounts.add(
                connection, new_id(), email=person.email, name=person.name, key=f"oidc {key}"
            )
            account = await accounts.find_by_key(connection, f"oidc {key}")
            assert account is not None  # it was added a line above
            await issuers.add_identity(connection, issuer.id, person.subject, account.id)
            return account
        known = await accounts.find(connection, found)
        assert known is not None  # an identity goes with its account
        return known


@dataclass(frozen=True, slots=True)
class Granted:
    """What the values of a claim give."""

    roles: Mapping[str, Role]
    is_operator: bool


def given_by(table: list[IssuerRole], person: Person) -> Granted:
    """The roles for a person's values; of several in one organisation the strongest. Pure."""
    roles: dict[str, Role] = {}
    is_operator = False
    for each in table:
        if each.value not in person.values:
            continue
        if each.role == "operator" or each.organisation_id is None:
            is_operator = is_operator or each.role == "operator"
            continue
        present = roles.get(each.organisation_id)
        if present is None or STRENGTH[each.role] > STRENGTH[present]:
            roles[each.organisation_id] = each.role
    return Granted(roles, is_operator)


def _check_answer(answer: Answer, metadata: Metadata, expected: Expected) -> None:
    """Whether the answer is this issuer's, before its code goes anywhere (RFC 9207 §2.4)."""
    if answer.issuer is None:
        if metadata.names_itself:
            raise NotAccepted("issuer")
    elif not may_be_issuer(answer.issuer, expected):
        raise NotAccepted("issuer")
    if answer.error is not None or not answer.code:
        raise NotAccepted("denied")


def _digest(token: str) -> bytes:
    found = console_access.digest(token)
    assert found is not None  # of a token that was made here
    return found


def _derived(token: str, purpose: str) -> str:
    return _text(hmac.digest(token.encode(), purpose.encode(), "sha256"))


def _text(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
