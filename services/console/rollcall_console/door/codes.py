"""Codes that people type: one-time passwords by time (RFC 6238), and recovery codes. Pure."""

import base64
import hashlib
import hmac
import struct
from typing import Final
from urllib.parse import quote, urlencode

STEP_S: Final = 30
DIGITS: Final = 6
DRIFT_STEPS: Final = 1
"""Steps by which the person's clock may be off, to either side (RFC 6238 §5.2 and §6)."""
SECRET_BYTES: Final = 20
"""As long as the hash (RFC 4226 §4, R6)."""
RECOVERY_CODES: Final = 10
_ALPHABET: Final = "23456789abcdefghjkmnpqrstvwxyz"
"""Nothing that looks like something else."""
_RECOVERY_LENGTH: Final = 16
"""About 78 bits."""


def code_at(secret: bytes, step: int) -> str:
    """The code of one step (RFC 4226 §5.3, RFC 6238 §4.2; SHA-1, which apps expect)."""
    digest = hmac.new(secret, struct.pack(">Q", step), hashlib.sha1).digest()
    offset = digest[-1] & 0x0F
    (number,) = struct.unpack(">I", digest[offset : offset + 4])
    return str((number & 0x7FFFFFFF) % 10**DIGITS).zfill(DIGITS)


def step_of(secret: bytes, typed: str, now_s: float) -> int | None:
    """The step whose code was typed, if it is near `now_s` (epoch seconds); compared in constant
    time. The caller sees to it that a step counts once."""
    code = typed.replace(" ", "")
    present = int(now_s // STEP_S)
    found = None
    for step in range(max(0, present - DRIFT_STEPS), present + DRIFT_STEPS + 1):
        if hmac.compare_digest(code_at(secret, step).encode(), code.encode()):
            found = step
    return found


def enrolment_uri(secret: bytes, account: str, issuer: str) -> str:
    """What an authenticator app reads from a QR code (the Key Uri Format)."""
    query = urlencode({"secret": base32(secret), "issuer": issuer}, quote_via=quote)
    return f"otpauth://totp/{quote(issuer)}:{quote(account)}?{query}"


def base32(secret: bytes) -> str:
    """The secret as apps take it when it is typed."""
    return base64.b32encode(secret).decode().rstrip("=")


def recovery_code(randomness: bytes) -> str:
    """A code in four groups from 16 random bytes or more. Raises ValueError for fewer."""
    if len(randomness) < _RECOVERY_LENGTH:
        raise ValueError(f"{_RECOVERY_LENGTH} bytes of randomness make a recovery code")
    number = int.from_bytes(randomness[:_RECOVERY_LENGTH])
    letters = []
    for _ in range(_RECOVERY_LENGTH):
        number, index = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[index])
    text = "".join(letters)
    return "-".join(text[at : at + 4] for at in range(0, _RECOVERY_LENGTH, 4))


def recovery_digest(typed: str) -> bytes:
    """What is stored of a recovery code, however its groups and letters were typed."""
    plain = "".join(letter for letter in typed.lower() if letter.isalnum())
    return hashlib.sha256(plain.encode()).digest()
