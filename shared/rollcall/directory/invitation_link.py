"""The token in an invitation's link, and the Message-ID of a mail. Both are derived, never stored.

A token is `base64url(member ‖ invitation ‖ expiry ‖ tag)`. `tag` is the HMAC-SHA256 of a label, the
organisation's id and the first three parts. The label separates this use of the secret from others.
The organisation's id is in the tag only, so a token is not valid in another organisation. The
expiry is computed from the invitation's id (a UUIDv7, which contains the time at which it was
made), so a repeated mail, after a crash or a restore, has the same link and the same Message-ID.
"""

import base64
import binascii
import hmac
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

LABEL: Final = b"rollcall/invitation/v1\x00"
TOKEN_LENGTH: Final = 96
"""Characters of every token: 72 bytes in base64, which need no padding."""
_ID_BYTES: Final = 16
_EXPIRY_BYTES: Final = 8
_PAYLOAD_BYTES: Final = 2 * _ID_BYTES + _EXPIRY_BYTES
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_MS: Final = int((datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds() * 1000)


class InvalidToken(ValueError):
    """The token was not made for this organisation by this deployment, or it was altered."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """One invitation of a member; `invitation_id` is the id of the event that invited them."""

    organisation_id: str
    member_id: str
    invitation_id: str


def expires_at(invitation_id: str, lifetime_s: float) -> datetime:
    """When the invitation ends: the time in its UUIDv7 plus its lifetime, in whole milliseconds.

    Raises ValueError for an id that is not a UUIDv7.
    """
    value = uuid.UUID(invitation_id)
    if value.version != 7:
        raise ValueError("an invitation's id is a UUIDv7")
    return _moment((value.int >> 80) + round(lifetime_s * 1000))


def make_token(secret: bytes, invitation: Invitation, expires: datetime) -> str:
    """The token for the link of this invitation; the same input gives the same token."""
    expiry_ms = round((expires - _EPOCH) / timedelta(milliseconds=1))
    payload = (
        uuid.UUID(invitation.member_id).bytes
        + uuid.UUID(invitation.invitation_id).bytes
        + expiry_ms.to_bytes(_EXPIRY_BYTES, "big")
    )
    tag = _tag(secret, invitation.organisation_id, payload)
    return base64.urlsafe_b64encode(payload + tag).decode()


def read_token(secret: bytes, token: str, organisation_id: str) -> tuple[str, str, datetime]:
    """Member id, invitation id and expiry of a genuine token. The caller checks the expiry.

    Raises InvalidToken. Comparing the tag takes constant time.
    """
    if len(token) != TOKEN_LENGTH or not token.isascii():
        raise InvalidToken("not the form of a token")
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
        wanted = _tag(secret, organisation_id, raw[:_PAYLOAD_BYTES])
    except (binascii.Error, ValueError) as error:
        raise InvalidToken("not the form of a token") from error
    if not hmac.compare_digest(wanted, raw[_PAYLOAD_BYTES:]):
        raise InvalidToken("not a token of this organisation")
    expiry_ms = int.from_bytes(raw[2 * _ID_BYTES : _PAYLOAD_BYTES], "big")
    return (
        str(uuid.UUID(bytes=raw[:_ID_BYTES])),
        str(uuid.UUID(bytes=raw[_ID_BYTES : 2 * _ID_BYTES])),
        _moment(min(expiry_ms, _LATEST_MS)),
    )


def message_id(event_id: str, kind: str, domain: str) -> str:
    """The Message-ID of the mail of this kind about this event (RFC 5322 §3.6.4)."""
    return f"<{event_id}.{kind}@{domain}>"


def _tag(secret: bytes, organisation_id: str, payload: bytes) -> bytes:
    return hmac.digest(secret, LABEL + uuid.UUID(organisation_id).bytes + payload, "sha256")


def _moment(epoch_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=epoch_ms)
