"""Where logins are kept: in the application's database, or in Redis.

    SqlTokens     table user_token                                         (the default)
    RedisTokens   token_store_redis.py; users and tenants still come from the database

Both pass tests/contract/token_store.py. A store knows digests, never tokens.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

from appmodel.core.people import Account, Login
from appmodel.io.database import Database
from appmodel.orm.token_queries import (
    extend_logins,
    find_logins,
    forget_logins,
    forget_logins_of,
    keep_login,
    sweep_logins,
)

Found: TypeAlias = Mapping[str, tuple[Login, Account | None]]
"""By digest: the login, and the user whom it opens; None = that user is not there."""


class TokenStore(Protocol):
    """Logins by their digests. Every call may raise Unavailable; each may be repeated."""

    async def keep(self, login: Login, *, most: int) -> None:
        """Keep it; of more than `most` of one user the oldest go."""

    async def find(self, digests: Sequence[str]) -> Found:
        """What is known, in one round trip to each server. It may have expired."""

    async def extend(self, digests: Sequence[str], expires: float) -> None:
        """Let them live until then (Unix seconds). Those that are gone stay gone."""

    async def forget(self, digest: str, uid: str) -> None:
        """One of this user's is gone."""

    async def forget_all(self, uid: str) -> None:
        """All of a user's."""

    async def sweep(self, now: float, *, limit: int) -> int:
        """Free up to `limit` that have expired; how many there were."""


class SqlTokens:
    """In table user_token."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, login: Login, *, most: int) -> None:
        """See TokenStore."""
        await self._database.write(lambda session: keep_login(session, login, most=most))

    async def find(self, digests: Sequence[str]) -> Found:
        """See TokenStore."""
        return await self._database.read(lambda session: find_logins(session, digests))

    async def extend(self, digests: Sequence[str], expires: float) -> None:
        """See TokenStore."""
        await self._database.write(lambda session: extend_logins(session, digests, expires))

    async def forget(self, digest: str, uid: str) -> None:
        """See TokenStore."""
        await self._database.write(lambda session: forget_logins(session, [digest]))

    async def forget_all(self, uid: str) -> None:
        """See TokenStore."""
        await self._database.write(lambda session: forget_logins_of(session, [uid]))

    async def sweep(self, now: float, *, limit: int) -> int:
        """See TokenStore."""
        return await self._database.write(lambda session: sweep_logins(session, now, limit))
