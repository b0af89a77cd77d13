"""The one place where a bug of ours is survived: around a whole connection, never inside one.

A peer's fault ends its connection and is handled where it is understood. Whatever else comes out
of a connection is a bug: it is logged with its traceback and counted, the connection is closed, and the
process, with everybody else's connections, lives on.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

log = structlog.get_logger(__name__)

OnBug = Callable[[BaseException], None]


@contextmanager
def contain_bugs(where: str, on_bug: OnBug) -> Iterator[None]:
    """Log any `Exception` that leaves the block, tell `on_bug`, and go on behind the block.

    Cancellation passes, also out of an exception group that holds bugs beside it. An exception that
    `on_bug` raises passes too: so a test can run without containment.

    Args:
        where: what was going on, for the log.
        on_bug: counts it, and may say a last word to the peer; gets the exception, or a group of several.
    """
    try:
        yield
    except* Exception as group:
        bug = group.exceptions[0] if len(group.exceptions) == 1 else group
        log.exception("bug contained", where=where, exc_info=bug)
        on_bug(bug)
