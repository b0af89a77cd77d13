"""A bucket's way to Redis: a writer with two threads and a reader with one, a round at a time (rounds.py).

    save                     -> writer: all that wait are a few runs of the script SAVE
    delete, remember, revoke -> writer: all that wait are one exchange
    fetch, marks, feed, ...  -> reader: all that wait are one exchange

Each thread has a connection of its own. While Redis works on the round of one writer, the other packs
the next or answers the last: Redis decides what comes first, as it does between message nodes.

Buckets do not wait for one another, so a node of a Cluster that hangs stops its own keys only.

If the saves of a round are refused because of one of them (another type at a key of ours), each is
tried again alone. Refused means that nothing was done: the script has looked before it wrote.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import redis
import structlog
import trio

from appmodel.core.names import Key
from appmodel.errors import NotStored, OutcomeUnknown, PushError, Unavailable
from message.config import MessageConfig
from message.stores import redis_original as original
from message.stores.notices import Notices
from message.stores.redis_errors import REFUSED, code_of, explain
from message.stores.redis_keys import Bucket
from message.stores.redis_link import Health, Link
from message.stores.redis_prepare import Preparation
from message.stores.redis_saving import Part, pairs_of, save_command
from message.stores.redis_scripts import Command
from message.stores.redis_servers import Servers
from message.stores.rounds import Job, Rounds

MAX_READS = 10_000  # calls that may wait for the reader
READS_PER_ROUND = 256
WRITERS = 2  # with one, Redis rests while its round is packed and answered: a tenth fewer saves
ROWS_PER_RUN = 500  # keys in one run of SAVE, unless one call has more: 5 to 10 ms
BLAMED = frozenset({"FOREIGN", "WRONGTYPE", "RUNAWAY", "ERR"})  # one save's fault, not the server's

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ask:
    """Commands that go out together, and what their replies mean."""

    commands: Sequence[Command]
    parse: Callable[[list[Any]], Any]
    repeatable: bool = True
    asked: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class SavePart:
    """Saves that are one job of the writer."""

    part: Part
    asked: float = field(default_factory=time.monotonic)


class Highest:
    """The highest mark that this process has heard of. Only grows, whichever thread hears of it."""

    def __init__(self) -> None:
        self.mark = 0
        self._lock = threading.Lock()

    def observe(self, mark: int) -> None:
        """There is a mark so high."""
        with self._lock:
            self.mark = max(self.mark, mark)


class Lane:
    """One bucket's writer and reader.

    Args:
        settling: held while answers are read: the lanes of a store count in the same notices.
    """

    def __init__(
        self,
        bucket: Bucket,
        config: MessageConfig,
        servers: Servers,
        *,
        now: Callable[[], float],
        notices: Notices,
        highest: Highest,
        preparation: Preparation,
        settling: threading.Lock,
    ) -> None:
        self.bucket = bucket
        self._config, self._now, self._notices, self._highest = config, now, notices, highest
        self._settling = settling
        self._writing, self._reading = Health(), Health()
        prepare = partial(preparation, bucket)
        new_link = partial(Link, config.redis, servers, bucket.marks, prepare)
        self._read_link = new_link(self._reading)
        write_links = [new_link(self._writing) for _ in range(WRITERS)]
        self.links = [self._read_link, *write_links]
        self.where = self._read_link.where
        self.writer: Rounds[SavePart | Ask] = Rounds(
            [partial(self._write_round, link) for link in write_links],
            name=f"store {self.where}",
            queue_limit=config.queue_limit,
            round_limit=config.round_limit,
            refusal=NotStored,
        )
        self.reader: Rounds[Ask] = Rounds(
            [self._read_round],
            name=f"store {self.where}",
            queue_limit=MAX_READS,
            round_limit=READS_PER_ROUND,
        )

    @property
    def trouble(self) -> str | None:
        """Why it does not serve, until it does."""
        return self._writing.trouble or self._reading.trouble

    async def run(self) -> None:
        """Serve until `close`, and what is waiting then."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.writer.run)
            nursery.start_soon(self.reader.run)

    def ask_highest(self) -> Command:
        """Asks for the highest mark of the bucket."""
        return ("GET", self.bucket.highest)

    def close(self) -> None:
        """Refuse from now on."""
        self.writer.close()
        self.reader.close()

    def disconnect(self) -> None:
        """Close the connections. Blocks for a moment; only when `run` has ended."""
        for link in self.links:
            link.close()

    def _read_round(self, jobs: Sequence[Job[Ask]]) -> None:
        self._do(self._read_link, self._in_time(jobs, Unavailable), Unavailable)

    def _write_round(self, link: Link, jobs: Sequence[Job[SavePart | Ask]]) -> None:
        jobs = self._in_time(jobs, NotStored)
        self._save(link, [job for job in jobs if isinstance(job.request, SavePart)])
        others = [job for job in jobs if isinstance(job.request, Ask)]
        for repeatable in (True, False):
            alike = [job for job in others if job.request.repeatable == repeatable]
            self._do(link, alike, NotStored)

    def _in_time(self, jobs: Sequence[Job[Any]], refusal: type[Unavailable]) -> list[Job[Any]]:
        """Those that have not waited longer than an exchange may take; the others are refused."""
        oldest = time.monotonic() - self._config.redis.timeout
        for job in jobs:
            if job.request.asked < oldest:
                job.fail(refusal(self.trouble or f"{self.where}: too much waits for it"))
        return [job for job in jobs if not job.settled]

    def _do(self, link: Link, jobs: Sequence[Job[Any]], refusal: type[Unavailable]) -> None:
        """Everybody's commands in one exchange."""
        if not jobs:
            return
        commands = [command for job in jobs for command in job.request.commands]
        try:
            replies = link.exchange(commands, repeatable=jobs[0].request.repeatable)
        except Exception as error:  # raised again where the calls were made
            for job in jobs:
                job.fail(_as(refusal, error))
            return
        remaining = iter(replies)
        with self._settling:
            for job in jobs:
                own = list(islice(remaining, len(job.request.commands)))
                try:
                    job.succeed(job.request.parse(own))
                except redis.ResponseError as error:
                    job.fail(self._refusal(error, refusal))
                except Exception as error:
                    job.fail(_as(refusal, error))

    def _save(self, link: Link, jobs: Sequence[Job[SavePart]]) -> None:
        """All in a few runs of one exchange; if a run is refused because of one, each of it alone."""
        if not jobs:
            return
        try:
            floors = self._floors(link, jobs)
            settled = self._run(link, _runs(jobs), floors)
            for run, reply in list(settled):
                if len(run) > 1 and _is_blamed(reply):
                    settled.remove((run, reply))
                    settled += self._run(link, [[job] for job in run], floors)
        except Exception as error:  # raised again where the calls were made
            with self._settling:
                self._notices.failures += len(jobs)
            for job in jobs:
                job.fail(_as(NotStored, error))
            return
        with self._settling:
            for run, reply in settled:
                self._settle_saves(run, reply)

    def _run(
        self,
        link: Link,
        runs: Sequence[Sequence[Job[SavePart]]],
        floors: dict[bytes, int] | None,
    ) -> list[tuple[Sequence[Job[SavePart]], Any]]:
        """Each run with its reply, once enough replicas have them."""
        now, highest = self._now(), self._highest.mark
        commands = [
            save_command(
                self.bucket,
                self._config,
                [job.request.part for job in run],
                now=now,
                highest=highest,
                floors=floors,
            )
            for run in runs
        ]
        replicas = self._config.redis.replicas
        if not replicas:
            return list(zip(runs, link.exchange(commands), strict=True))
        # the write before WAIT is this connection's own: WAIT counts from there, also after a reconnect
        patience = int(self._config.redis.timeout * 800)  # ms; the reply has to come in time too
        guard: list[Command] = [
            ("SET", self.bucket.probe, 1, "PX", 1),
            ("WAIT", replicas, patience),
        ]
        *replies, _, reached = link.exchange([*commands, *guard])
        if isinstance(reached, Exception) or reached < replicas:
            text = f"{self.where}: {reached} of {replicas} replicas have it"
            replies = [r if isinstance(r, Exception) else OutcomeUnknown(text) for r in replies]
        return list(zip(runs, replies, strict=True))

    def _floors(self, link: Link, jobs: Sequence[Job[SavePart]]) -> dict[bytes, int] | None:
        """The marks that keys have in the original's data, if we are to look there."""
        if not self._config.redis.original:
            return None
        names = list({name for job in jobs for name in job.request.part.names})
        replies = link.exchange([original.mark_command(name) for name in names])
        return {name: original.mark_of(reply) for name, reply in zip(names, replies, strict=True)}

    def _settle_saves(self, jobs: Sequence[Job[SavePart]], reply: Any) -> None:
        if isinstance(reply, Exception):
            self._notices.failures += len(jobs)
            if isinstance(reply, redis.ResponseError):
                reply = self._refusal(reply, NotStored)
            for job in jobs:
                job.fail(reply)
            return
        answers, trims, news = reply
        self._notices.saved += news
        for name, count in zip(trims[::2], trims[1::2], strict=True):
            self._notices.trim(Key.from_stored(name.decode()), count)
        self._highest.observe(max(answers[::2], default=0))
        all_pairs = pairs_of([job.request.part for job in jobs], answers)
        for job, pairs in zip(jobs, all_pairs, strict=True):
            job.succeed(pairs)

    def _refusal(self, error: redis.ResponseError, refusal: type[Unavailable]) -> PushError:
        """What a caller is told of a command that Redis refused."""
        text = str(error)
        if text.startswith("RUNAWAY "):
            return self._notices.runaway(int(text.split()[1]), self._now())
        if text.startswith(("FOREIGN ", "WRONGTYPE")):
            known = text.startswith("FOREIGN ")
            name = text.removeprefix("FOREIGN ") if known else f"{self.bucket.base.decode()}..."
            self._notices.foreign_data(name)
            return refusal(f"{self.where}: {name!r} holds data of another program")
        kind = refusal if code_of(error) in REFUSED else OutcomeUnknown
        return kind(f"{self.where}: {explain(error)}")


def _runs(jobs: Sequence[Job[SavePart]]) -> list[list[Job[SavePart]]]:
    """The jobs in runs of about ROWS_PER_RUN keys: a script keeps all other clients of Redis waiting."""
    runs: list[list[Job[SavePart]]] = [[]]
    rows = 0
    for job in jobs:
        count = job.request.part.rows
        if runs[-1] and rows + count > ROWS_PER_RUN:
            runs.append([])
            rows = 0
        runs[-1].append(job)
        rows += count
    return runs


def _is_blamed(reply: Any) -> bool:
    return isinstance(reply, redis.ResponseError) and code_of(reply) in BLAMED


def _as(refusal: type[Unavailable], error: Exception) -> Exception:
    """The same for who asked to read (`Unavailable`) or to write (`NotStored`)."""
    if refusal is Unavailable and isinstance(error, OutcomeUnknown):
        return Unavailable(str(error))  # a read that was not answered has done nothing
    return refusal(str(error)) if type(error) is Unavailable else error
