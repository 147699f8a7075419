"""Bearer key → organisation, from the key directory.

Whatever is wrong with a key, the answer is the same to the byte. Its time reveals nothing either:
every well-formed key that is not genuine waits until the end of the topic is read, whether its id
is known or not. Where the topic cannot be read (Kafka is away, and the key may be newer than what
was read), the answer is 503, because a 401 makes an identity provider give up at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NoReturn

from rollcall.runtime.errors import Unavailable
from rollcall.scim.errors import Forbidden, OtherNetwork, OutOfScope, Unauthorized
from rollcall.tenancy.api_key import matches, public_id_of
from rollcall.tenancy.limits import Address, covers, is_within, networks_of
from rollcall.tenancy.organisation import ApiKey, Organisation
from rollcall_ingress.door import access
from rollcall_ingress.door.access import count_refusal
from rollcall_ingress.door.key_directory import KeyDirectory
from rollcall_ingress.door.rate import Rates

MAX_HEADER_BYTES: Final = 256
KEYS: Final = "the list of keys (Kafka)"
_CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}
_NO_HASH: Final = "0" * 64


@dataclass(frozen=True, slots=True)
class Use:
    """What a key is used for: the scopes that it takes, and from where; None: not known."""

    scopes: tuple[str, ...] = ()
    address: Address | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """The authenticated sender of a request: an organisation, by one of its keys."""

    organisation: Organisation
    key: ApiKey
    use: "Use"

    @property
    def actor(self) -> str:
        """The sender as it is named on the log."""
        return f"key:{self.key.public_id}"


@dataclass(frozen=True, slots=True)
class StaleAfter:
    """Seconds without news from Kafka after which keys open nothing any more.

    A revoked key works for that long if its revocation cannot be read. A read shows what the key
    could read before, so it may take as long as an outage of Kafka usually does. A write changes
    something: 15 s is longer than a change of leader takes.
    """

    read_s: float = 15 * 60
    write_s: float = 15


class Authenticator:
    """Finds the organisation that a request comes from. One per process."""

    def __init__(self, directory: KeyDirectory, stale_after: StaleAfter, rates: Rates) -> None:
        self._directory = directory
        self._stale_after = stale_after
        self._rates = rates

    async def authenticate(
        self,
        authorization: Sequence[str],
        organisation_text: str,
        *,
        is_write: bool,
        at: datetime,
        use: Use,
    ) -> Principal:
        """The organisation that the address names, if the key is one of its living keys.

        `authorization` are the values of all headers of that name. Raises Unauthorized, the same
        whatever is wrong; OtherNetwork and OutOfScope for a genuine key that is used beyond its
        limits; Forbidden where SCIM is switched off; Unavailable where the directory is too old;
        TooManyRequests beyond the organisation's rate, before a body is read.
        """
        line = access.line()
        named = self._directory.organisation(organisation_text)
        line.organisation_id = None if named is None else named.id
        text = _bearer(authorization)
        public_id = public_id_of(text) if text is not None else None
        if text is None or public_id is None:
            _refuse("no_key" if not authorization else "malformed_key")
        key = self._genuine(public_id, text)
        if key is None:
            # The same wait whether the id is known or not: the time must not reveal which.
            if not await self._directory.is_current():
                count_refusal("keys_unknown")
                raise Unavailable(KEYS)
            key = self._genuine(public_id, text)
        if key is None:
            _refuse("wrong_key")
        line.key_id = key.public_id
        if not key.is_alive(at):
            _refuse("dead_key")
        organisation = self._directory.organisation(key.organisation_id)
        # One spelling only: a load balancer routes by the address as it is written.
        if organisation is None or organisation_text != organisation.id:
            _refuse("other_organisation")
        limit_s = self._stale_after.write_s if is_write else self._stale_after.read_s
        if self._directory.age_s > limit_s:
            count_refusal("keys_stale")
            raise Unavailable(KEYS)
        if not organisation.scim_enabled:
            count_refusal("switched_off")
            raise Forbidden
        _check_limits(key, use)
        self._rates.check(organisation)
        return Principal(organisation, key, use)

    def _genuine(self, public_id: str, text: str) -> ApiKey | None:
        """The key of this id if the text is all of it; compared in constant time."""
        key = self._directory.key(public_id)
        is_genuine = matches(text, key.sha256 if key is not None else _NO_HASH)
        return key if is_genuine else None

    def check_again(self, principal: Principal, *, at: datetime) -> None:
        """Raise Unauthorized or Forbidden if the key does not open the organisation any more.

        A body may take half a minute to arrive.
        """
        key = self._directory.key(principal.key.public_id)
        organisation = self._directory.organisation(principal.organisation.id)
        if key is None or organisation is None or not key.is_alive(at):
            _refuse("dead_key")
        if not organisation.scim_enabled:
            count_refusal("switched_off")
            raise Forbidden
        _check_limits(key, principal.use)


def _check_limits(key: ApiKey, use: Use) -> None:
    """Raise OtherNetwork or OutOfScope where a genuine key is used beyond its limits."""
    if key.networks and not is_within(use.address, networks_of(key.networks)):
        count_refusal("other_network")
        raise OtherNetwork
    if not all(covers(key.scopes, needed) for needed in use.scopes):
        count_refusal("out_of_scope")
        raise OutOfScope


def _bearer(authorization: Sequence[str]) -> str | None:
    """The token of exactly one well-formed header, else None (RFC 6750 §2.1).

    A byte beyond ASCII arrives as a surrogate, which could not even be encoded.
    """
    if len(authorization) != 1:
        return None
    value = authorization[0]
    if len(value) > MAX_HEADER_BYTES or not value.isascii():
        return None
    scheme, _, token = value.partition(" ")
    return token.strip(" ") if scheme.lower() == "bearer" else None


def _refuse(reason: str) -> NoReturn:
    count_refusal(reason)
    raise Unauthorized(headers=_CHALLENGE)
