"""What the threads of a SQL store do with the calls that wait, one round after the other.

    Writer   all saves that wait are one transaction, then all other changes are one
    Reader   all pages that wait are one statement, then each other read by itself

If one call makes a transaction fail, each is done alone, so it fails for its caller only. Whoever has
waited too long when his round begins is refused: he has no time left to be answered in.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from appmodel.core.message import Page, Save
from appmodel.core.names import Key
from appmodel.errors import NotStored, OutcomeUnknown, PushError, Unavailable
from appmodel.io.sql_faults import Fault, Kind
from message.config import MessageConfig
from message.stores.notices import Notices
from message.stores.rounds import Job
from message.stores.sql_link import Link
from message.stores.sql_reading import Ask, Pages
from message.stores.sql_saving import Draft
from message.stores.sql_session import Session

Work = Callable[[Session], Any]  # of one call: a change, or a read
Finish = Callable[[], None]  # what is left to do after the commit


class Turn(NamedTuple):
    """A call that waits: its saves, the page that it asks for, or what else it wants done."""

    what: tuple[Save, ...] | Ask | Work
    latest: float  # monotonic; not begun by then, it is refused

    @property
    def saves(self) -> tuple[Save, ...] | None:
        """If it saves."""
        return None if callable(self.what) or isinstance(self.what, Ask) else self.what


class Writer:
    """Changes the database.

    Args:
        now: the time, in Unix seconds.
        config: says how many messages are kept per key.
    """

    def __init__(
        self, link: Link, config: MessageConfig, now: Callable[[], float], notices: Notices
    ) -> None:
        self._link, self._config, self._now, self._notices = link, config, now, notices
        self._highest = 0  # an id that was given

    def do(self, jobs: Sequence[Job[Turn]]) -> None:
        """Settle each job."""
        jobs = _begun(jobs, self._link, NotStored)
        self._commit([job for job in jobs if not callable(job.request.what)], self._save)
        self._commit([job for job in jobs if callable(job.request.what)], _change)

    def _commit(
        self, jobs: Sequence[Job[Turn]], work: Callable[[Sequence[Job[Turn]], Session], Finish]
    ) -> None:
        """Do `jobs` in one transaction. If one of them is at fault, each by itself."""
        if not jobs:
            return
        try:
            finish = self._link.do(partial(work, jobs))
        except Exception as error:  # whatever it is, the call that caused it gets it
            if len(jobs) > 1 and not (isinstance(error, Fault) and error.kind is not Kind.INVALID):
                for job in jobs:
                    self._commit([job], work)
                return
            self._notices.failures += len(jobs)
            for job in jobs:
                job.fail(self._refusal(error) if isinstance(error, Fault) else error)
        else:
            finish()

    def _save(self, jobs: Sequence[Job[Turn]], session: Session) -> Finish:
        now = self._now()
        draft = Draft(self._config, now=now, highest=self._highest)
        calls = [job.request.saves or () for job in jobs]
        draft.find(session, [save for saves in calls for save in saves])
        places = [draft.add(saves) for saves in calls]
        draft.write(session)

        def finish() -> None:
            self._highest = draft.highest
            self._notices.saved += draft.count
            for skey, count in draft.trimmed.items():
                self._notices.trim(Key.from_stored(skey), count)
            for job, place in zip(jobs, places, strict=True):
                if isinstance(place, int):
                    job.fail(self._notices.runaway(place, now))
                else:
                    job.succeed(draft.answer(place))

        return finish

    def _refusal(self, fault: Fault) -> PushError:
        kind: type[PushError] = OutcomeUnknown if fault.in_doubt else NotStored
        return kind(f"{self._link.where}: {fault.text}")


class Reader:
    """Reads from the database.

    Args:
        now: the time, in Unix seconds.
    """

    def __init__(self, link: Link, now: Callable[[], float], pages: Pages) -> None:
        self._link, self._now, self._pages = link, now, pages

    def do(self, jobs: Sequence[Job[Turn]]) -> None:
        """Settle each job."""
        jobs = _begun(jobs, self._link, Unavailable)
        asking = [job for job in jobs if isinstance(job.request.what, Ask)]
        if asking:
            self._settle(asking, self._fetch)
        for job in jobs:
            if callable(job.request.what):
                self._settle([job], _each)

    def _settle(
        self, jobs: Sequence[Job[Turn]], read: Callable[[Sequence[Job[Turn]], Session], list[Any]]
    ) -> None:
        try:
            answers = self._link.do(partial(read, jobs))
        except Fault as fault:
            for job in jobs:
                job.fail(Unavailable(f"{self._link.where}: {fault.text}"))
        except Exception as error:  # raised again where the calls were made
            for job in jobs:
                job.fail(error)
        else:
            for job, answer in zip(jobs, answers, strict=True):
                job.succeed(answer)

    def _fetch(self, jobs: Sequence[Job[Turn]], session: Session) -> list[Page]:
        asks = [job.request.what for job in jobs if isinstance(job.request.what, Ask)]
        return self._pages.fetch(session, asks, int(self._now()))


def _begun(jobs: Sequence[Job[Turn]], link: Link, refusal: type[Unavailable]) -> list[Job[Turn]]:
    """Those whose turn has come in time; the others are refused."""
    now = time.monotonic()
    for job in jobs:
        if job.request.latest < now:
            text = link.trouble or "too slow for what is asked of it"
            job.fail(refusal(f"{link.where}: {text}"))
    return [job for job in jobs if not job.settled]


def _change(jobs: Sequence[Job[Turn]], session: Session) -> Finish:
    answers = _each(jobs, session)

    def finish() -> None:
        for job, answer in zip(jobs, answers, strict=True):
            job.succeed(answer)

    return finish


def _each(jobs: Sequence[Job[Turn]], session: Session) -> list[Any]:
    return [job.request.what(session) for job in jobs if callable(job.request.what)]
