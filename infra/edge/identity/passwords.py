"""Passwords: argon2id with the parameters of the OWASP password storage cheat sheet (19 MiB, two passes, one lane)."""

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from infra.errors import Refusal

SHORTEST, LONGEST = 12, 256  # characters; length is what counts (NIST SP 800-63B-4, 3.1.1.2)
AT_ONCE = 4  # each takes 19 MiB and a core


class Passwords:
    """Hashes and checks passwords, a few at a time, off the event loop."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1, type=Type.ID)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._nobody = self._hasher.hash(secrets.token_urlsafe())

    async def hashed(self, password: str) -> str:
        """The hash to keep; Refusal if the password is too short or too long."""
        if not SHORTEST <= len(password) <= LONGEST:
            raise Refusal("bad_password", f"a password has {SHORTEST} to {LONGEST} characters")
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def matches(self, stored_hash: str | None, password: str) -> bool:
        """Whether it is the password; it takes as long to say no for a user who is not there (`stored_hash` is None)."""
        async with self._slots:
            is_right = await asyncio.to_thread(self._verify, stored_hash or self._nobody, password[: LONGEST + 1])
        return is_right and stored_hash is not None

    def outdated(self, stored_hash: str) -> bool:
        """Whether it was made with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(stored_hash)

    def _verify(self, stored_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored_hash, password)
        except (VerificationError, InvalidHashError):
            return False
