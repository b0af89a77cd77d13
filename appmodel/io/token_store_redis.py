"""Logins in Redis.

    appmsg:login:<digest>     string       {"uid":"u1","device_id":"d1","device_type":"iOS","issued":1.7e9}
    appmsg:logins:<uid>       sorted set   digests of a user, by the time of their issue

A login ends with its key's time to live. A value that is not ours, of whatever type, is no login: in the
original any key `<uid>_...` is a token, also a list of messages (W4). All calls that wait together share
one round trip, through a pipeline in a thread (research/trio.md section 2).

Source: ours; appmsgsrv app/token.go keeps the tokens themselves as keys.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
import redis
import trio

from appmodel.core.people import Login
from appmodel.errors import ConfigError, Unavailable
from appmodel.io.database import Database
from appmodel.io.token_stores import Found
from appmodel.orm.token_queries import find_accounts

T = TypeVar("T")

PREFIX = "appmsg"
MARGIN = 86400.0  # seconds that the list of a user's logins outlives the last of them


class _Kept(msgspec.Struct):
    uid: str
    device_id: str
    device_type: str
    issued: float


_KEPT = msgspec.json.Decoder(_Kept)


class RedisTokens:
    """See TokenStore. `close` it in the end."""

    def __init__(self, url: str, database: Database, *, timeout: float, max_life: float) -> None:
        """Connects when it is first used. `max_life`: seconds, of any login.

        Raises:
            ConfigError: the URL is none of Redis. It may hold a password, and is not shown.
        """
        self._database = database
        self._keep_list = max_life + MARGIN
        self._limiter = trio.CapacityLimiter(1)
        try:
            self._redis = redis.Redis.from_url(
                url, socket_timeout=timeout, socket_connect_timeout=timeout, protocol=2
            )
        except ValueError:
            expected = "redis://host:port/number, rediss:// or unix://"
            raise ConfigError("tokens.redis", "********", expected) from None

    def close(self) -> None:
        """Let go of all connections."""
        self._redis.close()

    async def keep(self, login: Login, *, most: int) -> None:
        """See TokenStore."""
        kept = _Kept(login.uid, login.device_id, login.device_type, login.issued)

        def work() -> None:
            pipe = self._redis.pipeline(transaction=True)
            pipe.set(_login_key(login.digest), msgspec.json.encode(kept), pxat=_ms(login.expires))
            pipe.zadd(_list_key(login.uid), {login.digest: login.issued})
            pipe.zrange(_list_key(login.uid), 0, -most - 1)
            pipe.zremrangebyrank(_list_key(login.uid), 0, -most - 1)
            pipe.expire(_list_key(login.uid), int(self._keep_list))
            surplus = pipe.execute()[2]
            if surplus:
                self._redis.delete(*(_login_key(digest.decode()) for digest in surplus))

        await self._call(work)

    async def find(self, digests: Sequence[str]) -> Found:
        """See TokenStore."""

        def work() -> list[Any]:
            pipe = self._redis.pipeline(transaction=False)
            for digest in digests:
                pipe.get(_login_key(digest))
                pipe.pttl(_login_key(digest))
            return pipe.execute(raise_on_error=False)

        now = time.time()
        replies = await self._call(work)
        pairs = zip(digests, replies[::2], replies[1::2], strict=True)
        logins = {digest: _login(digest, value, left, now) for digest, value, left in pairs}
        uids = {login.uid for login in logins.values() if login is not None}
        if not uids:
            return {}
        accounts = await self._database.read(lambda session: find_accounts(session, uids))
        return {d: (one, accounts.get(one.uid)) for d, one in logins.items() if one is not None}

    async def extend(self, digests: Sequence[str], expires: float) -> None:
        """See TokenStore."""

        def work() -> None:
            pipe = self._redis.pipeline(transaction=False)
            for digest in digests:
                pipe.pexpireat(_login_key(digest), _ms(expires))
            pipe.execute()

        await self._call(work)

    async def forget(self, digest: str, uid: str) -> None:
        """See TokenStore."""

        def work() -> None:
            pipe = self._redis.pipeline(transaction=True)
            pipe.delete(_login_key(digest))
            pipe.zrem(_list_key(uid), digest)
            pipe.execute()

        await self._call(work)

    async def forget_all(self, uid: str) -> None:
        """See TokenStore."""

        def work() -> None:
            pipe = self._redis.pipeline(transaction=False)
            pipe.zrange(_list_key(uid), 0, -1)
            digests: list[bytes] = pipe.execute()[0]
            if digests:
                pipe.delete(*(_login_key(digest.decode()) for digest in digests))
                pipe.zrem(_list_key(uid), *digests)
                pipe.execute()

        await self._call(work)

    async def sweep(self, now: float, *, limit: int) -> int:
        """See TokenStore: Redis does that itself."""
        await trio.lowlevel.checkpoint()
        return 0

    async def _call(self, work: Callable[[], T]) -> T:
        try:
            return await trio.to_thread.run_sync(work, limiter=self._limiter)
        except (redis.RedisError, OSError):
            raise Unavailable("the store of logins is away or too slow") from None


def _login_key(digest: str) -> str:
    return f"{PREFIX}:login:{digest}"


def _list_key(uid: str) -> str:
    return f"{PREFIX}:logins:{uid}"


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _login(digest: str, value: Any, left: Any, now: float) -> Login | None:
    """What a reply means. `left`: ms to live; negative: it has no end, or is gone."""
    if not isinstance(value, bytes) or not isinstance(left, int) or left < 0:
        return None
    try:
        kept = _KEPT.decode(value)
    except msgspec.DecodeError:
        return None
    expires = now + left / 1000
    return Login(digest, kept.uid, kept.device_id, kept.device_type, kept.issued, expires)
