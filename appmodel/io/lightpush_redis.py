"""Redis for the books of light-push: one server, called in threads, its answers as texts.

    appmsg:lp:<kind>:<namespace>:<name>     names hold no ":", so no two of them join to the same key (W27),
                                            and installations with other prefixes share a server (W22)

What changes more than one key is a Lua script, so it has happened or not. The scripts make the names of their keys
themselves: a Redis Cluster would refuse them.

    refused, or no such server    Unavailable     nothing was done
    a foreign key among ours      OutcomeUnknown  a script that fails in the middle is not taken back
    lost or too slow              Unavailable for what only reads; OutcomeUnknown for what writes
    once more on a new connection what may be repeated: idle connections break unnoticed
    no thread free for `timeout`  Unavailable     one that stands still makes nobody wait for all who came before
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import redis
import trio
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry

from appmodel.errors import ConfigError, OutcomeUnknown, Unavailable

T = TypeVar("T")
Argument = str | int | float
THREADS = 2  # and connections: more are slower

LOST = (redis.ConnectionError, redis.TimeoutError, OSError)


class RedisLink:
    """One server. `close` it in the end."""

    def __init__(self, url: str, *, prefix: str, timeout: float) -> None:
        """Connects when it is first used.

        Raises:
            ConfigError: the URL is none of Redis. It may hold a password, and is not shown.
        """
        self._prefix, self._timeout = f"{prefix}:lp", timeout
        self._limiter = trio.CapacityLimiter(THREADS)
        self._scripts: dict[str, Script] = {}
        try:
            self._redis = redis.Redis.from_url(
                url,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                protocol=2,
                decode_responses=True,
                retry=Retry(
                    NoBackoff(), 0
                ),  # what was sent may have been done: we know what may be repeated
            )
        except ValueError:
            expected = "redis://host:port/number, rediss:// or unix://"
            raise ConfigError("lightpush.redis", "********", expected) from None

    def close(self) -> None:
        """Let go of all connections."""
        self._redis.close()

    def key(self, kind: str, *names: str) -> str:
        """A key; only the last of its names may be a text that nobody has checked."""
        return ":".join((self._prefix, kind, *names))

    async def run(self, script: str, *arguments: Argument, repeat: bool = True) -> Any:
        """Run a script: it gets the prefix of all keys, and then `arguments`, and changes something.

        Raises:
            Unavailable, OutcomeUnknown: see the module. `repeat`: whether it may be sent twice.
        """
        return await self._call(
            lambda: self._script(script)(args=[self._prefix, *arguments]),
            tries=2 if repeat else 1,
            writes=True,
        )

    async def ask(self, script: str, *arguments: Argument) -> Any:
        """Run a script that changes nothing that anybody could see. Raises Unavailable."""
        return await self._call(
            lambda: self._script(script)(args=[self._prefix, *arguments]), tries=2, writes=False
        )

    async def read(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """The answers to commands that only read, in one round trip. Raises Unavailable."""

        def work() -> list[Any]:
            pipe = self._redis.pipeline(transaction=False)
            for command in commands:
                pipe.execute_command(*command)  # type: ignore[no-untyped-call]  # redis gives none
            return pipe.execute()

        return await self._call(work, tries=2, writes=False) if commands else []

    def _script(self, text: str) -> Script:
        if text not in self._scripts:
            self._scripts[text] = self._redis.register_script(text)
        return self._scripts[text]

    async def _call(self, work: Callable[[], T], *, tries: int, writes: bool) -> T:
        with trio.move_on_after(self._timeout):  # for a thread: what has begun there goes on
            return await trio.to_thread.run_sync(
                lambda: self._try(work, tries=tries, writes=writes), limiter=self._limiter
            )
        raise Unavailable(f"light-push's Redis had no time within {self._timeout:g} s")

    def _try(self, work: Callable[[], T], *, tries: int, writes: bool) -> T:
        for left in reversed(range(tries)):
            try:
                return work()
            except LOST as error:
                if left and not isinstance(error, redis.TimeoutError):
                    continue
                if writes and not _was_refused(error):
                    raise OutcomeUnknown("light-push's Redis was lost in a write") from None
                raise Unavailable("light-push's Redis is away or too slow") from None
            except redis.RedisError as error:  # full, loading, read-only, no right to
                if writes and _broke_off(error):
                    raise OutcomeUnknown(
                        "light-push's Redis has a foreign key among ours"
                    ) from None
                raise Unavailable(f"light-push's Redis refuses: {str(error)[:80]}") from None
        raise AssertionError("unreachable")


def _broke_off(error: redis.RedisError) -> bool:
    """Whether a script had begun: Redis refuses what it refuses at all before the first write."""
    text = str(error)
    return "user_script" in text and text.startswith(("WRONGTYPE", "ERR"))


def _was_refused(error: BaseException | None) -> bool:
    """Whether there was nobody to send anything to."""
    while error is not None:
        if isinstance(error, ConnectionRefusedError | FileNotFoundError):
            return True
        error = error.__cause__ or error.__context__
    return False
