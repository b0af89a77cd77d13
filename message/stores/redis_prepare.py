"""What each new connection does first: load our scripts, look whose data lie there, and how safe they are.

SCRIPT LOAD ...                 the scripts, by digest
GET layout, else SET NX         "1 16": our version and the number of buckets; another one is refused
CONFIG GET save appendonly ...  a warning, if Redis may forget; an ACL user may be forbidden to look
"""

from collections.abc import Callable
from typing import Any

import redis
import structlog

from message.stores.redis_errors import WrongLayout
from message.stores.redis_keys import Bucket
from message.stores.redis_scripts import SCRIPTS, Command

log = structlog.get_logger(__name__)

Asker = Callable[[Command], Any]

FORGETFUL = "redis keeps nothing on its disk: a restart loses every message and mark"
SNAPSHOTS = "redis keeps snapshots only: a crash loses what came after the last (appendonly is off)"
EVICTING = "redis may evict messages and marks when its memory is full (maxmemory-policy)"


class Preparation:
    """Shared by all connections of a store: each warning is given once."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def __call__(self, bucket: Bucket, ask: Asker) -> None:
        """Make a connection ready for `bucket`. Raises redis.RedisError if it is of no use."""
        for script in SCRIPTS:
            ask(("SCRIPT", "LOAD", script.text))
        found = ask(("GET", bucket.layout))
        if found is None:
            ask(("SET", bucket.layout, bucket.layout_value, "NX"))
            found = ask(("GET", bucket.layout))
        if found != bucket.layout_value:
            raise WrongLayout(
                f"{bucket.layout.decode()} holds {found!r} (version, buckets), "
                f"expected {bucket.layout_value!r}"
            )
        self._warn_of_loss(ask)

    def _warn_of_loss(self, ask: Asker) -> None:
        try:
            settings = {
                name: _setting(ask, name) for name in ("save", "appendonly", "maxmemory-policy")
            }
        except redis.ResponseError:
            return  # CONFIG is forbidden, or renamed
        if settings["appendonly"] == b"no":
            self._warn(SNAPSHOTS if settings["save"] else FORGETFUL)
        if settings["maxmemory-policy"] not in (b"noeviction", None):
            self._warn(EVICTING)

    def _warn(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            log.warning(text)


def _setting(ask: Asker, name: str) -> Any:
    found = ask(("CONFIG", "GET", name))
    return found[1] if len(found) == 2 else None
