"""Passwords: hashed with argon2id, in threads of their own; what an adopted database holds is taken over.

    stored                           right is                               after a login
    $argon2id$v=19$m=19456,t=2...    the password                           stays; hashed anew if the costs rose
    md5+$argon2id$...                the password, or its MD5 as hex        stays
    5f4dcc3b5aa765d61d8327deb882cf99 the same: an MD5 that was delivered    md5+$argon2id$... of that MD5
    anything else                    the same text                          $argon2id$...
    empty, or nobody of that name    nothing                                stays

The callers of appmsgsrv computed MD5s themselves, and its browser clients send the stored text: so both the
password and its MD5 open such an account, for as long as the password is not changed. Every check
costs one run of argon2, whether there is such a user or not.

Source: spec/appmsgsrv.md 10.3 (the server never hashes; logins compare nothing, W1). Costs: OWASP's second choice
for argon2id, 29 ms here; RFC 9106's 64 MiB take 130 ms.
"""

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import md5
from typing import TypeVar

import argon2
import trio
from argon2.exceptions import InvalidHashError, VerificationError

from appmodel.errors import BadInput, LimitReached

T = TypeVar("T")

MAX_PASSWORD = 256  # characters
MAX_STORED = 255  # characters: the column
MEMORY, PASSES, LANES = 19 * 1024, 2, 1  # KiB, times over it, threads of one hash
MOST_MEMORY, MOST_PASSES, MOST_LANES = 256 * 1024, 10, 8  # of a hash that somebody delivers
OF_MD5 = "md5+"
MD5 = re.compile(r"[0-9a-fA-F]{32}")

_DUMMY = "$argon2id$v=19$m=%d,t=%d,p=%d$c2FsdCBvZiBub2JvZHk$" + "A" * 43


@dataclass(frozen=True, slots=True)
class Check:
    """Whether a password was right, and what is to be stored instead of what is; None = it may stay."""

    is_right: bool
    replacement: str | None = None


class Passwords:
    """Hashes and checks, few at a time: each takes a core and 19 MiB."""

    def __init__(
        self, *, threads: int = 2, waiting: int = 64, memory: int = MEMORY, passes: int = PASSES
    ) -> None:
        """`waiting`: calls that may wait for a thread; `memory` in KiB."""
        self._argon2 = argon2.PasswordHasher(
            time_cost=passes, memory_cost=memory, parallelism=LANES
        )
        self._dummy = _DUMMY % (memory, passes, LANES)
        self._limiter = trio.CapacityLimiter(threads)
        self._waiting = waiting

    async def hash(self, password: str) -> str:
        """What is stored of a password that somebody chose.

        Raises:
            LimitReached: too many wait.
        """
        return await self._run(partial(self._argon2.hash, password.encode()))

    async def hash_delivered(self, text: str) -> str:
        """What is stored of what another system delivers: a password, its MD5 as hex, or a hash of ours.

        Raises:
            LimitReached: too many wait.
        """
        if is_password_hash(text):
            return text
        return await self._run(partial(_hash_delivered, self._argon2, text))

    async def check(self, given: str, stored: str | None) -> Check:
        """Whether `given` opens what is stored; None = there is nothing, which costs the same time.

        Raises:
            LimitReached: too many wait.
        """
        return await self._run(partial(self._check, given, stored))

    def _check(self, given: str, stored: str | None) -> Check:
        if not stored or not given or len(given) > MAX_PASSWORD:
            self._is_right(given[:MAX_PASSWORD], self._dummy)
            return Check(False)
        if stored.startswith("$argon2"):
            if not self._is_right(given, stored):
                return Check(False)
            is_cheap = self._argon2.check_needs_rehash(stored)
            return Check(True, self._argon2.hash(given.encode()) if is_cheap else None)
        if stored.startswith(OF_MD5):
            mine = stored.removeprefix(OF_MD5)
            return Check(any(self._is_right(one, mine) for one in _md5s(given)))
        return self._check_adopted(given, stored)

    def _check_adopted(self, given: str, stored: str) -> Check:
        is_right = hmac.compare_digest(given.encode(), stored.encode())
        if MD5.fullmatch(stored):
            found = [hmac.compare_digest(one, stored.lower()) for one in _md5s(given)]
            is_right = any(found)
        if is_right:
            return Check(True, _hash_delivered(self._argon2, stored))
        self._is_right(given, self._dummy)
        return Check(False)

    def _is_right(self, given: str, hashed: str) -> bool:
        try:
            return self._argon2.verify(hashed, given.encode())
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._limiter.statistics().tasks_waiting >= self._waiting:
            raise LimitReached("password: too many are being checked; try again in 5 s")
        return await trio.to_thread.run_sync(work, limiter=self._limiter)


def hash_password(password: str) -> str:
    """What is stored of a password that somebody chose. Takes 30 ms: for commands, not for a node's loop."""
    return argon2.PasswordHasher(time_cost=PASSES, memory_cost=MEMORY, parallelism=LANES).hash(
        password.encode()
    )


def checked_password(field: str, value: str, *, least: int = 1) -> str:
    """A password that somebody wants to have.

    Raises:
        BadInput: too short, too long, or no text. The error never shows it.
    """
    if not least <= len(value) <= MAX_PASSWORD or "\0" in value:
        expected = f"{least} to {MAX_PASSWORD} characters"
        raise BadInput(field, "********", expected)
    return value


def is_password_hash(text: str) -> bool:
    """Whether it is a ready hash: argon2id, of costs that a login can bear."""
    try:
        costs = argon2.extract_parameters(text.removeprefix(OF_MD5))
    except (InvalidHashError, ValueError):
        return False
    return (
        len(text) <= MAX_STORED
        and costs.type is argon2.Type.ID
        and costs.memory_cost <= MOST_MEMORY
        and costs.time_cost <= MOST_PASSES
        and costs.parallelism <= MOST_LANES
    )


def _hash_delivered(hasher: argon2.PasswordHasher, text: str) -> str:
    if MD5.fullmatch(text):
        return OF_MD5 + hasher.hash(text.lower())
    return hasher.hash(text.encode())


def _md5s(given: str) -> list[str]:
    """What may have been stored as an MD5: `given` itself if it is one, and that of `given`."""
    hashed = md5(given.encode(), usedforsecurity=False).hexdigest()
    return [given.lower(), hashed] if MD5.fullmatch(given) else [hashed]
