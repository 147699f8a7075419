"""API keys: `rc_<public id>_<secret><checksum>`. Only the SHA-256 of the whole key is stored.

Those of the admin API begin with `ra_`.

- public id: 12 characters of base62; identifies the key in records, lists and logs.
- secret: 43 characters of base62 (256 bits of randomness). It cannot be guessed, so a fast hash is
  enough.
- checksum: 6 characters of base62, the CRC32 of everything before it. It finds typing errors
  without a look-up, and lets secret scanners recognise a key:
  `rc_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}`.
"""

import hashlib
import hmac
import zlib
from dataclasses import dataclass
from typing import Final, Literal

Prefix = Literal["rc", "ra"]
ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PUBLIC_ID_LENGTH: Final = 12
SECRET_LENGTH: Final = 43
CHECKSUM_LENGTH: Final = 6
MAX_STALE_S: Final = 30.0
"""Most seconds without news of the tenancy topic for which a key may still authorise a write."""
KEY_LENGTH: Final = 3 + PUBLIC_ID_LENGTH + 1 + SECRET_LENGTH + CHECKSUM_LENGTH


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new key. `text` is shown once and not stored."""

    public_id: str
    text: str
    sha256: str


def make(randomness: bytes, prefix: Prefix = "rc") -> NewKey:
    """Make a key from 48 bytes of a cryptographic source. Raises ValueError for fewer."""
    if len(randomness) < 48:
        raise ValueError("48 bytes of randomness make a key")
    public_id = _base62(int.from_bytes(randomness[:12]), PUBLIC_ID_LENGTH)
    secret = _base62(int.from_bytes(randomness[12:48]), SECRET_LENGTH)
    head = f"{prefix}_{public_id}_{secret}"
    text = head + _checksum(head)
    return NewKey(public_id, text, digest(text))


def public_id_of(text: str, prefix: Prefix = "rc") -> str | None:
    """The public id of a well-formed key with a correct checksum; None for any other text."""
    if len(text) != KEY_LENGTH or not text.isascii() or not text.startswith(f"{prefix}_"):
        return None
    head, checksum = text[:-CHECKSUM_LENGTH], text[-CHECKSUM_LENGTH:]
    public_id, separator, secret = head[3:15], head[15], head[16:]
    if separator != "_" or not (public_id.isalnum() and secret.isalnum()):
        return None
    return public_id if _checksum(head) == checksum else None


def digest(text: str) -> str:
    """SHA-256 of the key's text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def matches(text: str, sha256: str) -> bool:
    """Whether `text` is the key with this hash, compared in constant time."""
    return hmac.compare_digest(digest(text).encode(), sha256.encode())


def _checksum(head: str) -> str:
    return _base62(zlib.crc32(head.encode()), CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    characters = []
    for _ in range(length):
        number, index = divmod(number, 62)
        characters.append(ALPHABET[index])
    return "".join(reversed(characters))
