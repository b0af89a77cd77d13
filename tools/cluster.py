"""`make cluster`: the whole cluster on this machine, as tools/topology.py has it.

    python -m tools.cluster start [--store redis|sql]    what does not run is started, the rest is left alone
    python -m tools.cluster stop                         in order: nobody loses what was accepted
    python -m tools.cluster status

Whoever was started here is known by a file var/cluster/NAME.pid, and nobody else is ever touched. A start
that was interrupted is taken up again by the next one, or cleared away by a stop.
"""

import argparse
import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import psycopg

from appmodel.runtime.tour import EXAMPLE
from tools.servers.daemon import Missing, accepts
from tools.topology import (
    APPMSG,
    CALLERS,
    DATA,
    ENTRANCE,
    FILES,
    PEOPLE_URL,
    Member,
    enter,
    topology,
)

T = TypeVar("T")

STORE = DATA / "store"  # the one with which it was started
PATIENCE = 45.0  # seconds to stop: more than a comet may take to drain


class Failed(Exception):
    """It cannot be done; the text says why."""


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0 done, 1 failed."""
    parser = argparse.ArgumentParser(prog="python -m tools.cluster")
    parser.add_argument("action", choices=["start", "stop", "status"])
    parser.add_argument("--store", choices=["redis", "sql"], help="else that of who runs, or redis")
    asked = parser.parse_args(arguments)
    enter()
    try:
        if asked.action == "status":
            show_status()
            return 0
        with alone():
            start(asked.store) if asked.action == "start" else stop()
    except Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "interrupted: `make cluster` goes on, `make cluster-stop` clears away", file=sys.stderr
        )
        return 130
    return 0


@contextmanager
def alone() -> Iterator[None]:
    """One start or stop at a time."""
    with (DATA / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed("another `make cluster` or `make cluster-stop` is at work") from None
        yield


def start(asked: str | None) -> None:
    """Start whoever does not run, with its messages in the store `asked` for.

    Raises:
        Failed: somebody did not start, and why. Who runs by then goes on.
    """
    store = chosen_store(asked)
    cluster = topology(store)
    members = [member for stage in cluster.starting for member in stage]
    running = [member for member in members if member.kept.pid is not None]
    if len(running) == len(members):
        print("The cluster runs already.")
    else:
        refuse_strangers([member for member in members if member not in running])
        STORE.write_text(store)
        began = time.monotonic()
        for stage in cluster.starting:
            start_together([each for each in stage if each.kept.pid is None], cluster.needed)
        print(f"The cluster is up after {time.monotonic() - began:.1f} s.")
    print(tour())


def chosen_store(asked: str | None) -> str:
    """While somebody runs, where the messages are; else what is asked for, or Redis.

    Raises:
        Failed: they are elsewhere.
    """
    members = [member for stage in topology("redis").starting for member in stage]
    if not STORE.exists() or all(member.kept.pid is None for member in members):
        return asked or "redis"
    known = STORE.read_text()
    if asked not in (None, known):
        raise Failed(f"it runs with its messages in {known}: first `make cluster-stop`")
    return known


def refuse_strangers(members: Sequence[Member]) -> None:
    """Nobody may listen where they are to be.

    Raises:
        Failed: somebody does.
    """
    taken = [f"{member.port} of {member.name}" for member in members if _listens(member.port)]
    if taken:
        raise Failed(f"taken by processes that are none of this cluster: port {', '.join(taken)}")


def _listens(port: int) -> bool:
    try:
        return accepts(port)
    except OSError:
        return False


def start_together(members: Sequence[Member], needed: frozenset[str]) -> None:
    """Start these at once, and wait until all of them serve."""
    fatal = []
    for member, reason in filter(None, in_parallel(start_one, members)):
        optional = isinstance(reason, Missing) and member.name not in needed
        print(f"  {member.name:<12}{'left out' if optional else 'failed'}: {reason}", flush=True)
        fatal += [] if optional else [member.name]
    if fatal:
        raise Failed(f"{', '.join(fatal)} did not start; who runs by now goes on")


def start_one(member: Member) -> tuple[Member, Exception] | None:
    """Start it; what was in the way."""
    began = time.monotonic()
    try:
        member.kept.start(member.daemon())
        member.after()
    except (Missing, RuntimeError, OSError, psycopg.Error) as error:
        return member, error
    seconds = time.monotonic() - began
    print(f"  {member.name:<12}127.0.0.1:{member.port:<6} {seconds:4.1f} s", flush=True)
    return None


def stop() -> None:
    """Ask all to end, in their order; whoever takes too long is killed, and named."""
    cluster = topology("redis")
    stopped = False
    for stage in cluster.stopping:
        running = [member for member in stage if member.kept.pid is not None]
        stopped = stopped or bool(running)
        in_parallel(stop_one, running)
    print("The cluster has stopped." if stopped else "The cluster does not run.")


def stop_one(member: Member) -> None:
    """Ask it to end."""
    began = time.monotonic()
    ended = member.kept.stop(PATIENCE)
    how = "stopped" if ended else "KILLED"
    print(f"  {member.name:<12}{how} after {time.monotonic() - began:4.1f} s", flush=True)


def show_status() -> None:
    """A line for each."""
    for stage in topology("redis").starting:
        for member in stage:
            pid = member.kept.pid
            print(f"  {member.name:<12}127.0.0.1:{member.port:<6} {f'pid {pid}' if pid else '-'}")


def in_parallel(work: Callable[[Member], T], members: Sequence[Member]) -> list[T]:
    """`work` for each of them at the same time; what it returned, in their order."""
    if not members:
        return []
    with ThreadPoolExecutor(len(members)) as pool:
        return list(pool.map(work, members))


def tour() -> str:
    """What to try, to be pasted; all of it works in the folder of the checkout."""
    appmsg, common = os.path.relpath(APPMSG), f"--config {FILES / 'common.toml'}"
    clients, callers = f"http://127.0.0.1:{ENTRANCE}", f"http://127.0.0.1:{CALLERS}"
    entrance = f"--set web.app.port={ENTRANCE} --set web.public.port={ENTRANCE}"
    ticket = f"$({appmsg} token issue --key u1@user {common})"
    token = f"$({appmsg} token issue --scope push {common})"
    lines = [
        "",
        "# Listen, as a client does, by way of nginx:",
        f"{appmsg} listen u1@user --mid 0 --url {clients} --token {ticket}",
        "# Push, as a business system does:",
        f'curl -H "Authorization: Bearer {token}" \\',
        f"    -d '{EXAMPLE}' {callers}/v2/push",
        "# Make a company, and see how its people talk to one another:",
        f"export APPMSG_DATABASE__URL=$(cat {PEOPLE_URL})",
        f"{appmsg} demo {common} {entrance} --set web.api.port={CALLERS}",
        "# Who is there:",
        f"{appmsg} node list {common}",
        "# Let a comet hand its clients over and leave, or kill it the hard way: look at the listener.",
        "# `make cluster` brings it back.",
        f"{appmsg} node drain comet2 {common}",
        f"kill -9 $(cut -d' ' -f1 {DATA}/comet1.pid)",
        "",
        f"Logs are {DATA}/*.log. `make cluster-status`, `make cluster-stop`.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
