"""What an ID token or a logout token must say before it is believed. Pure.

OpenID Connect Core 1.0 §3.1.3.7 (ID tokens), Back-Channel Logout 1.0 §2.6 (logout tokens). The
signature is checked before (`provider.py`). Each refusal has a word, for the page and the log.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Why = Literal[
    "unreachable", "metadata", "signature", "issuer", "tenant", "audience", "time", "nonce",
    "subject", "stale", "claim", "state", "code", "denied", "other_account", "no_role", "logout",
]  # fmt: skip
"""Why a sign-in is refused; `oidc.refused.…` in the catalogues says it to people."""

LEEWAY_S: Final = 60
"""How far the clocks of the issuer and of this machine may differ."""
LONGEST_S: Final = 24 * 3600
"""An ID token for longer than a day is not one for a sign-in."""
TENANT: Final = "{tenantid}"
"""Stands for the tenant in the issuer of a discovery document of Entra's of several tenants."""
LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
MAX_TEXT: Final = 255
MAX_VALUES: Final = 1000


class NotAccepted(Exception):
    """The sign-in is refused; `why` is a word of ours, never what the issuer wrote."""

    def __init__(self, why: Why) -> None:
        super().__init__(why)
        self.why: Why = why


@dataclass(frozen=True, slots=True)
class Expected:
    """What the tokens of one issuer must say; `url` as it is set up, `at` in epoch seconds."""

    url: str
    client_id: str
    tenants: tuple[str, ...]
    at: float


@dataclass(frozen=True, slots=True)
class Person:
    """Who an ID token speaks of. `subject` is unique for the issuer (with its tenant, if any)."""

    subject: str
    email: str
    name: str
    session: str | None
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class Ended:
    """What a logout token ends: a session of the issuer, or all sessions of a subject."""

    session: str | None
    subject: str | None
    id: str
    expires: float


def issuer_of(claims: Mapping[str, Any], expected: Expected) -> str:
    """The issuer that the token names, if it is the one. Raises NotAccepted.

    For an issuer of several tenants it is the one of a tenant that counts: `iss` and `tid` must
    name the same one, or somebody's own tenant could speak for another.
    """
    wanted = expected.url
    if TENANT in wanted:
        tenant = claims.get("tid")
        if not isinstance(tenant, str) or tenant not in expected.tenants:
            raise NotAccepted("tenant")
        wanted = wanted.replace(TENANT, tenant)
    if claims.get("iss") != wanted:
        raise NotAccepted("issuer")
    return wanted


def may_be_issuer(named: str, expected: Expected) -> bool:
    """Whether `iss` of an answer of authorization (RFC 9207) is the issuer that was asked."""
    if TENANT not in expected.url:
        return named == expected.url
    return any(named == expected.url.replace(TENANT, tenant) for tenant in expected.tenants)


def person_of(
    claims: Mapping[str, Any],
    expected: Expected,
    *,
    nonce: str,
    roles_claim: str,
    max_age_s: float | None = None,
) -> Person:
    """Who signs in. `max_age_s`: how long ago they may have shown who they are at the most.

    Raises NotAccepted.
    """
    _check_common(claims, expected)
    if claims.get("nonce") != nonce:
        raise NotAccepted("nonce")
    if max_age_s is not None:
        shown = _seconds(claims, "auth_time")
        if shown is None or not -LEEWAY_S <= expected.at - shown <= max_age_s + LEEWAY_S:
            raise NotAccepted("stale")
    subject = _text(claims.get("sub"))
    if subject is None:
        raise NotAccepted("subject")
    tenant = claims["tid"] if TENANT in expected.url else None
    email = _text(claims.get("email")) or _text(claims.get("preferred_username")) or subject
    return Person(
        subject=f"{tenant} {subject}" if tenant is not None else subject,
        email=email,
        name=_text(claims.get("name")) or email,
        session=_text(claims.get("sid")),
        values=values_of(claims, roles_claim),
    )


def values_of(claims: Mapping[str, Any], path: str) -> frozenset[str]:
    """The values of the roles' claim: a text, or a list of texts; dots lead into objects.

    `realm_access.roles` is Keycloak's. A claim whose whole name has dots or slashes is found first.
    Raises NotAccepted where Entra left the groups out because they are too many.
    """
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for name in path.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
    if found is None:
        left_out = claims.get("_claim_names")
        if isinstance(left_out, Mapping) and path in left_out:
            raise NotAccepted("claim")
        return frozenset()
    values = [found] if isinstance(found, str) else found
    if not isinstance(values, list) or len(values) > MAX_VALUES:
        raise NotAccepted("claim")
    return frozenset(value for value in values if isinstance(value, str))


def ended_by(claims: Mapping[str, Any], expected: Expected) -> Ended:
    """What a logout token ends. Raises NotAccepted."""
    _check_common(claims, expected)
    events = claims.get("events")
    if not isinstance(events, Mapping) or not isinstance(events.get(LOGOUT_EVENT), Mapping):
        raise NotAccepted("logout")
    session, subject = _text(claims.get("sid")), _text(claims.get("sub"))
    token_id = _text(claims.get("jti"))
    # With a nonce it would be an ID token, used for what it was not made for.
    if "nonce" in claims or token_id is None or (session is None and subject is None):
        raise NotAccepted("logout")
    if subject is not None and TENANT in expected.url:
        subject = f"{claims['tid']} {subject}"
    expires = _seconds(claims, "exp")
    if expires is None or expires > expected.at + LONGEST_S:  # its digest is kept until then
        raise NotAccepted("logout")
    return Ended(session, subject, token_id, expires)


def _check_common(claims: Mapping[str, Any], expected: Expected) -> None:
    """Issuer, audience and time, which both kinds of tokens have."""
    issuer_of(claims, expected)
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or expected.client_id not in audiences:
        raise NotAccepted("audience")
    if len(audiences) > 1 and "azp" not in claims:
        raise NotAccepted("audience")
    if "azp" in claims and claims["azp"] != expected.client_id:
        raise NotAccepted("audience")
    expires, issued = _seconds(claims, "exp"), _seconds(claims, "iat")
    if expires is None or issued is None:
        raise NotAccepted("time")
    is_over = expires + LEEWAY_S <= expected.at
    if is_over or issued - LEEWAY_S > expected.at or issued + LONGEST_S < expected.at:
        raise NotAccepted("time")
    begins = _seconds(claims, "nbf")
    if begins is not None and begins - LEEWAY_S > expected.at:
        raise NotAccepted("time")


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 2**53 else None


def _text(value: object) -> str | None:
    """A text that can be stored and shown, else None."""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT or not value.isprintable():
        return None
    return value
