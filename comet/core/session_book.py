"""Which sessions have come and gone since they were last written: the newest of each, and no more.

A session that comes and goes and comes again before it is written is one entry. The book is bounded: when it is
full it forgets all news and says so (`is_torn`), and what is here must be compared with what is written.
"""

from itertools import islice
from typing import NamedTuple

from appmodel.core.sessions import SessionName


class News(NamedTuple):
    """Some of the book, to be written."""

    here: list[SessionName]
    gone: list[str]  # ids


class SessionBook:
    """The news of one comet."""

    def __init__(self, limit: int) -> None:
        """`limit`: sessions whose news are kept."""
        self._limit = limit
        self._news: dict[str, SessionName | None] = {}  # by id; None = gone
        self.here = 0  # sessions that are here now
        self.is_used = False  # whether there ever was one
        self.is_torn = False  # news were forgotten

    def __len__(self) -> int:
        return len(self._news)

    def note(self, name: SessionName, *, is_here: bool) -> None:
        """A session's first connection has come, or its last one has gone."""
        self.is_used = True
        self.here += 1 if is_here else -1
        self._keep(name.id, name if is_here else None)

    def repair(self, session_id: str, name: SessionName | None) -> bool:
        """What is written of a session is wrong: it is here under `name`, or it is gone (None).

        False if there are news of it already: they are newer than what was read.
        """
        if session_id in self._news:
            return False
        self._keep(session_id, name)
        return True

    def take(self, limit: int) -> News:
        """At most `limit` entries, oldest first. `put_back` them if they cannot be written."""
        oldest = list(islice(self._news, limit))
        entries = {session_id: self._news.pop(session_id) for session_id in oldest}
        here = [name for name in entries.values() if name is not None]
        return News(here, [session_id for session_id, name in entries.items() if name is None])

    def put_back(self, news: News) -> None:
        """These were not written. What has happened since then is newer."""
        for name in news.here:
            self.repair(name.id, name)
        for session_id in news.gone:
            self.repair(session_id, None)

    def begin_anew(self) -> None:
        """All that is here is going to be compared with what is written."""
        self.is_torn = False

    def _keep(self, session_id: str, name: SessionName | None) -> None:
        if len(self._news) >= self._limit and session_id not in self._news:
            self._news.clear()
            self.is_torn = True
        self._news[session_id] = name
