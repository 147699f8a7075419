"""Secrets that have to be read again, encrypted with a key from a file: AES-256-GCM.

A sealed secret is `version(1) key id(4) nonce(12) ciphertext and tag`. What it belongs to (an
account, a purpose) is authenticated with it, so it cannot be moved to another row. The file may
hold several secrets: the first encrypts, and any decrypts what it has encrypted.
"""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

LEAST: Final = 32
"""Characters of a secret."""
_VERSION: Final = b"\x01"
_ID_BYTES: Final = 4
_NONCE_BYTES: Final = 12


class CannotOpen(Exception):
    """None of the secrets opens it: the one that sealed it is missing, or it was changed."""


@dataclass(frozen=True, slots=True)
class _Key:
    id: bytes
    cipher: AESGCM

    @classmethod
    def of(cls, secret: str) -> Self:
        derived = hashlib.blake2b(secret.encode(), person=b"rollcall-seal", digest_size=36).digest()
        return cls(derived[:_ID_BYTES], AESGCM(derived[_ID_BYTES:]))


class Sealer:
    """Seals with the first of some secrets, opens with any."""

    def __init__(self, keys: tuple[_Key, ...]) -> None:
        self._keys = keys

    @classmethod
    def of(cls, text: str) -> Self:
        """From the text of the file, one secret a line. Raises ValueError."""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if not lines or any(len(line) < LEAST for line in lines):
            raise ValueError(f"must have lines of {LEAST} characters at least, a secret each")
        return cls(tuple(_Key.of(line) for line in lines))

    def seal(self, secret: bytes, purpose: str, owner: str) -> bytes:
        """`secret`, encrypted for `purpose` (a word) and `owner` (an id)."""
        key, nonce = self._keys[0], secrets.token_bytes(_NONCE_BYTES)
        return _VERSION + key.id + nonce + key.cipher.encrypt(nonce, secret, _about(purpose, owner))

    def open(self, sealed: bytes, purpose: str, owner: str) -> bytes:
        """What was sealed. Raises CannotOpen."""
        if sealed[:1] != _VERSION:
            raise CannotOpen("it was sealed by a newer release")
        key_id, rest = sealed[1 : 1 + _ID_BYTES], sealed[1 + _ID_BYTES :]
        for key in self._keys:
            if key.id != key_id:
                continue
            try:
                return key.cipher.decrypt(
                    rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], _about(purpose, owner)
                )
            except InvalidTag as error:
                raise CannotOpen("it was changed, or is another's") from error
        raise CannotOpen("the secret that sealed it is not among those given")

    def is_current(self, sealed: bytes) -> bool:
        """Whether the first secret sealed it."""
        return sealed[: 1 + _ID_BYTES] == _VERSION + self._keys[0].id


def _about(purpose: str, owner: str) -> bytes:
    return f"{purpose}\n{owner}".encode()
