"""Passwords by Argon2id (RFC 9106): hashed and checked in threads, two at a time.

A hash takes 64 MiB and about 0.1 s. What comes meanwhile waits; attempts are few, because an
address is locked after some wrong ones (`postgres/console/accounts.py`).
"""

import asyncio
from typing import Final

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

LEAST: Final = 12
MOST: Final = 256
"""Characters of a password; NIST SP 800-63B-4 §3.1.1.2 asks for 15 as the only factor, 8 beside
another one."""
_AT_ONCE: Final = 2
_HASHER: Final = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1, type=Type.ID)


class Passwords:
    """Hashes and checks."""

    def __init__(self) -> None:
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._of_nobody = ""

    async def hash(self, password: str) -> str:
        """What is stored: parameters, salt and hash as one text."""
        async with self._at_once:
            return await asyncio.to_thread(_HASHER.hash, password)

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether it is the password. Without a stored one it takes as long, and is False."""
        if stored is None:
            if not self._of_nobody:
                self._of_nobody = await self.hash("nobody has this password")
            await self._verify(self._of_nobody, password)
            return False
        return await self._verify(stored, password)

    def is_outdated(self, stored: str) -> bool:
        """Whether it was hashed with other parameters than today's."""
        return _HASHER.check_needs_rehash(stored)

    async def _verify(self, stored: str, password: str) -> bool:
        async with self._at_once:
            try:
                return await asyncio.to_thread(_HASHER.verify, stored, password)
            except (VerificationError, InvalidHashError):
                return False


def too_weak(password: str) -> str | None:
    """Why it cannot be a password, as a key of the catalogue of words; None: it can."""
    if len(password) < LEAST:
        return "password.short"
    if len(password) > MOST:
        return "password.long"
    if len(set(password)) < 5:
        return "password.same"
    return None
