"""One connection to the server that holds a bucket: an exchange is done, refused, or in doubt.

    exchange([command, ...])    all go out together, the replies come back in their order

    connecting fails            Unavailable: nothing was sent. The next attempt is after a pause that
                                doubles, with jitter; who cannot wait so long is refused at once
    the connection breaks       a new one, and all is sent again: what we send may be repeated, for a
                                known push id answers as the first time. Else OutcomeUnknown
    "not here", "not now"       find the server anew, and again; until the deadline
    any other error             is the reply to its command

Everything here blocks, and a link belongs to one thread at a time (rounds.py sees to that).
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import redis
import structlog

from appmodel.errors import OutcomeUnknown, Unavailable
from message.config import RedisConfig
from message.stores.redis_errors import ADVICE, ELSEWHERE, code_of, explain, setting_to_blame
from message.stores.redis_scripts import Command
from message.stores.redis_servers import Connection, Servers

FIRST_PAUSE = 0.05  # seconds before the second attempt to connect, at most

log = structlog.get_logger(__name__)

Prepare = Callable[[Callable[[Command], Any]], None]
"""Called with a function that asks the server; raises redis.RedisError if it is of no use to us."""


class Health:
    """Whether Redis does what it is asked, as the links that share this have found."""

    def __init__(self) -> None:
        self.trouble: str | None = None  # why it does not serve, until it does
        self._lock = threading.Lock()

    def fails(self, trouble: str) -> None:
        """It did not do it. One log line until it does."""
        with self._lock:
            if self.trouble is None:
                log.error("redis does not serve", error=trouble)
            self.trouble = trouble

    def serves(self, where: str) -> None:
        """It did it."""
        with self._lock:
            if self.trouble is not None:
                log.info("redis serves again", server=where)
            self.trouble = None


class Link:
    """To whichever server holds `name` now. Connects when it is first used.

    Args:
        prepare: run on each new connection before anything else.
        health: told how it goes.
    """

    def __init__(
        self, config: RedisConfig, servers: Servers, name: bytes, prepare: Prepare, health: Health
    ) -> None:
        self._config, self._servers, self._name = config, servers, name
        self._prepare, self._health = prepare, health
        self._connection: Connection | None = None
        self._pause = 0.0  # seconds, before jitter; 0 = the last attempt went well
        self._next_try = 0.0  # monotonic
        self.where = f"redis {', '.join(config.addresses)}"
        self.setting_to_blame: str | None = None  # of [message.redis], if the trouble comes from it

    def exchange(self, commands: Sequence[Command], *, repeatable: bool = True) -> list[Any]:
        """The replies; a refused command's is the `redis.ResponseError`.

        Takes `timeout` seconds at most, and a moment if Redis is known to be away.

        Raises:
            Unavailable: nothing was done.
            OutcomeUnknown: it may have been done, or a part of it.
        """
        end = time.monotonic() + self._config.timeout
        in_doubt = False
        while True:
            try:
                connection = self._connected(end)
            except Unavailable as error:
                if in_doubt:
                    raise OutcomeUnknown(str(error)) from None
                raise
            packed = connection.pack_commands(
                commands
            )  # before the try: a fault of ours is none of Redis'
            try:
                replies = _exchange(connection, packed, len(commands))
            except (redis.RedisError, OSError) as error:
                self._fail(error)
                in_doubt = True
                if not repeatable or time.monotonic() >= end:
                    raise OutcomeUnknown(f"{self.where}: {explain(error)}") from None
                continue
            refusals = [reply for reply in replies if isinstance(reply, redis.ResponseError)]
            away = next((error for error in refusals if self._is_elsewhere(error)), None)
            if away is None or not repeatable or time.monotonic() >= end:
                self._note(refusals)
                return [self._doubted(r) if in_doubt else r for r in replies]
            self._fail(away)
            in_doubt = in_doubt or len(refusals) < len(replies)

    def close(self) -> None:
        """Disconnect. The next exchange connects again."""
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None

    def _connected(self, end: float) -> Connection:
        """The connection, made if need be, by `end` (monotonic)."""
        if self._connection is not None and not _is_stale(self._connection):
            return self._connection
        self.close()
        while True:
            wait = self._next_try - time.monotonic()
            if wait > 0:
                if time.monotonic() + wait >= end:
                    raise Unavailable(self._health.trouble or f"{self.where}: away")
                time.sleep(wait)
            try:
                self._connection = self._connect()
            except (redis.RedisError, OSError) as error:
                self._fail(error)
                if self.setting_to_blame is not None:  # it will be wrong again
                    raise Unavailable(f"{self.where}: {explain(error)}") from None
            else:
                self._pause = 0.0
                return self._connection

    def _connect(self) -> Connection:
        connection = self._servers.connect(self._name)

        def ask(command: Command) -> Any:
            [reply] = _exchange(connection, connection.pack_commands([command]), 1)
            if isinstance(reply, redis.ResponseError):
                raise reply
            return reply

        try:
            self._prepare(ask)
        except BaseException:
            connection.disconnect()
            raise
        return connection

    def _fail(self, error: Exception) -> None:
        """This connection is of no use. Says so once, and sets the time of the next attempt."""
        self.close()
        self.setting_to_blame = setting_to_blame(error)
        if not isinstance(error, redis.exceptions.NoScriptError):
            self._health.fails(f"{self.where}: {explain(error)}")
        ceiling = self._config.max_retry_pause
        self._pause = min(self._pause * 2, ceiling) if self._pause else min(FIRST_PAUSE, ceiling)
        self._next_try = time.monotonic() + self._pause * random.uniform(0.5, 1.0)  # noqa: S311

    def _note(self, refusals: Sequence[redis.ResponseError]) -> None:
        """Remember whether Redis does what it is asked."""
        able = [error for error in refusals if code_of(error) in ADVICE]
        if able:
            self._health.fails(f"{self.where}: {explain(able[0])}")
        else:
            self._health.serves(self.where)

    def _is_elsewhere(self, error: redis.ResponseError) -> bool:
        code = code_of(error)
        if code == "READONLY":
            return self._config.mode != "single"  # else nobody will tell us of another master
        return code in ELSEWHERE or isinstance(error, redis.exceptions.NoScriptError)

    def _doubted(self, reply: Any) -> Any:
        """A refusal says nothing about an earlier attempt, whose reply was lost."""
        if isinstance(reply, redis.ResponseError):
            return OutcomeUnknown(f"{self.where}: {explain(reply)}")
        return reply


def _exchange(connection: Connection, packed: Sequence[bytes], count: int) -> list[Any]:
    connection.send_packed_command(packed)
    replies: list[Any] = []
    for _ in range(count):
        try:
            replies.append(connection.read_response())
        except redis.ResponseError as error:
            replies.append(error)
    return replies


def _is_stale(connection: Connection) -> bool:
    """Whether the server has hung up, or said something that nobody asked for."""
    try:
        return bool(connection.can_read(timeout=0))
    except (redis.RedisError, OSError):
        return True
