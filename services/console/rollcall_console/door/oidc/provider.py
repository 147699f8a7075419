"""An issuer over HTTP: its discovery document, its keys, its token endpoint.

Documents and keys are kept for an hour. A key that is not among them is looked for again, once a
minute at most, so keys rotate without a restart and a forged `kid` costs the issuer nothing. Where
it cannot be reached, what is a day old still counts. Only an operator names an issuer, and no
redirect is followed.
"""

import asyncio
import base64
import binascii
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlsplit

import aiohttp
import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from rollcall.observability.logging import get_logger
from rollcall.postgres.console.console_issuers import Issuer
from rollcall_console.door.oidc.claims import NotAccepted

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519")
"""Signatures that are believed: none with a shared secret, and never `none`."""
FRESH_S: Final = 3600.0
STALE_S: Final = 24 * 3600.0
LOOK_AGAIN_S: Final = 60.0
TIMEOUT_S: Final = 5.0
MAX_BYTES: Final = 256 * 1024
MAX_TOKEN: Final = 16 * 1024
LEAST_RSA_BITS: Final = 2048
WELL_KNOWN: Final = "/.well-known/openid-configuration"
ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")
Key = RSAKey | ECKey | OKPKey

log = get_logger()


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is used of a discovery document (OpenID Connect Discovery 1.0 §3, RFC 9207 §3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    names_itself: bool
    posts_secret: bool


@dataclass(slots=True)
class _Known:
    """What is known of one issuer, and since when (monotonic seconds)."""

    metadata: Metadata | None = None
    metadata_s: float = 0.0
    keys: tuple[Key, ...] = ()
    keys_s: float = 0.0
    asked_s: float = -math.inf
    """When a key was looked for that was not there."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Providers:
    """Asks issuers, and remembers what they said."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._known: dict[str, _Known] = {}

    async def close(self) -> None:
        """Disconnect."""
        if self._session is not None:
            await self._session.close()

    async def metadata(self, issuer: Issuer) -> Metadata:
        """The issuer's discovery document. Raises NotAccepted."""
        known = self._of(issuer)
        async with known.lock:
            age_s = time.monotonic() - known.metadata_s
            if known.metadata is None or age_s > FRESH_S:
                try:
                    found = await self._json("GET", discovery_url(issuer.url))
                    known.metadata = _metadata(found, issuer)
                    known.metadata_s = time.monotonic()
                except NotAccepted as error:
                    if known.metadata is None or age_s > STALE_S or error.why != "unreachable":
                        raise
            return known.metadata

    async def redeem(
        self, issuer: Issuer, secret: str | None, form: Mapping[str, str]
    ) -> Mapping[str, Any]:
        """What the token endpoint gives for a code (RFC 6749 §4.1.3). Raises NotAccepted.

        The client names itself as the document asks: in the header, or in the form.
        """
        metadata = await self.metadata(issuer)
        headers, body = {}, {**form, "grant_type": "authorization_code"}
        if secret is None or metadata.posts_secret:
            body["client_id"] = issuer.client_id
            if secret is not None:
                body["client_secret"] = secret
        else:
            pair = f"{quote(issuer.client_id, safe='')}:{quote(secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return await self._json("POST", metadata.token_endpoint, data=body, headers=headers)

    async def claims(self, issuer: Issuer, token: object) -> Mapping[str, Any]:
        """The claims of a signed token, its signature checked. Raises NotAccepted."""
        if not isinstance(token, str) or len(token) > MAX_TOKEN or token.count(".") != 2:
            raise NotAccepted("signature")
        algorithm, key_id = _head(token)
        for again in (False, True):
            for key in await self._keys(issuer, again=again):
                if key_id is not None and key.kid != key_id:
                    continue
                try:
                    claims = jwt.decode(token, key, algorithms=[algorithm]).claims
                except (JoseError, ValueError, TypeError):
                    continue
                if isinstance(claims, dict):
                    return claims
        raise NotAccepted("signature")

    async def _keys(self, issuer: Issuer, *, again: bool) -> tuple[Key, ...]:
        """The issuer's keys; `again`: those that are known do not fit."""
        metadata = await self.metadata(issuer)
        known = self._of(issuer)
        async with known.lock:
            at = time.monotonic()
            limit_s = LOOK_AGAIN_S if again else FRESH_S
            if known.keys and at - (known.asked_s if again else known.keys_s) < limit_s:
                return known.keys
            if again:
                known.asked_s = at
            try:
                known.keys = _usable(await self._json("GET", metadata.jwks_uri))
                known.keys_s = time.monotonic()
            except NotAccepted as error:
                if not known.keys or at - known.keys_s > STALE_S or error.why != "unreachable":
                    raise
            return known.keys

    def _of(self, issuer: Issuer) -> _Known:
        return self._known.setdefault(issuer.url, _Known())

    async def _json(self, method: str, url: str, **options: Any) -> Mapping[str, Any]:
        """An answer with a JSON object. Raises NotAccepted."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
            self._session = aiohttp.ClientSession(
                timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
            )
        try:
            async with self._session.request(
                method, url, allow_redirects=False, **options
            ) as answer:
                body = await answer.content.read(MAX_BYTES + 1)
                while len(body) <= MAX_BYTES and (more := await answer.content.read(MAX_BYTES)):
                    body += more
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            log.warning("issuer.unreachable", error=type(error).__name__)
            raise NotAccepted("unreachable") from error
        if method == "POST" and 400 <= status < 500:
            raise NotAccepted("code")
        if status != 200 or len(body) > MAX_BYTES:
            log.warning("issuer.unreachable", error=f"status {status}")
            raise NotAccepted("unreachable")
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise NotAccepted("metadata") from error
        if not isinstance(found, dict):
            raise NotAccepted("metadata")
        return found


def discovery_url(url: str) -> str:
    """Where the discovery document is; Entra's of several tenants is below `organizations`."""
    return url.rstrip("/").replace("{tenantid}", "organizations") + WELL_KNOWN


def is_safe(url: object) -> bool:
    """Whether a URL is https, or on this machine itself (for a trial)."""
    if not isinstance(url, str) or len(url) > 2000 or not url.isascii() or not url.isprintable():
        return False
    parts = urlsplit(url)
    if parts.username is not None or parts.fragment or not parts.hostname:
        return False
    is_here = parts.hostname in ("127.0.0.1", "::1", "localhost")
    return parts.scheme == "https" or (parts.scheme == "http" and is_here)


def _metadata(found: Mapping[str, Any], issuer: Issuer) -> Metadata:
    """Raises NotAccepted where the document is another issuer's, or has an endpoint without TLS."""
    if found.get("issuer") != issuer.url:
        raise NotAccepted("issuer")
    if not all(is_safe(found.get(name)) for name in ENDPOINTS):
        raise NotAccepted("metadata")
    is_remote = issuer.url.startswith("https://")
    if is_remote and not all(found[name].startswith("https://") for name in ENDPOINTS):
        raise NotAccepted("metadata")
    ways = found.get("token_endpoint_auth_methods_supported")
    ways = ways if isinstance(ways, list) else ["client_secret_basic"]
    return Metadata(
        issuer=issuer.url,
        authorization_endpoint=found["authorization_endpoint"],
        token_endpoint=found["token_endpoint"],
        jwks_uri=found["jwks_uri"],
        names_itself=found.get("authorization_response_iss_parameter_supported") is True,
        posts_secret="client_secret_basic" not in ways and "client_secret_post" in ways,
    )


def _head(token: str) -> tuple[str, str | None]:
    """Algorithm and key id of a token's header. Raises NotAccepted."""
    part = token.partition(".")[0]
    try:
        head = orjson.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, ValueError) as error:
        raise NotAccepted("signature") from error
    if not isinstance(head, dict) or head.get("alg") not in ALGORITHMS or "crit" in head:
        raise NotAccepted("signature")
    key_id = head.get("kid")
    return head["alg"], key_id if isinstance(key_id, str) else None


def _usable(found: Mapping[str, Any]) -> tuple[Key, ...]:
    """The public keys for signatures among those of a document; others are passed over."""
    listed = found.get("keys")
    if not isinstance(listed, list):
        raise NotAccepted("metadata")
    usable: list[Key] = []
    for each in listed[:100]:
        if not isinstance(each, dict) or each.get("use", "sig") != "sig":
            continue
        try:
            [key] = KeySet.import_key_set({"keys": [each]}).keys
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        is_short = isinstance(key, RSAKey) and key.public_key.key_size < LEAST_RSA_BITS
        if isinstance(key, RSAKey | ECKey | OKPKey) and not is_short:
            usable.append(key)
    return tuple(usable)
