"""A supervisor, or one of its workers, of a part that does as its settings say; for test_supervisor.py.

    python fake_crew.py settings.toml

Whoever connects to a worker gets `<name> <pid>\n`. Who then says `leave\n` has it drained.
"""

import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path

import trio

from appmodel.core.units import Duration
from appmodel.errors import ConfigError, PushError
from appmodel.io.listener import bound_to, serve_wires
from appmodel.io.wire import Wire
from appmodel.runtime import service, supervisor
from appmodel.runtime.config import Count, Port, Section
from appmodel.runtime.crew import Crew, Listener, RestartConfig, Use
from appmodel.runtime.logs import configure_logs
from appmodel.runtime.service import Address, Context, NodePart
from appmodel.runtime.settings import Settings, load_settings
from appmodel.runtime.worker import is_worker

service.PATIENCE = service.LAST_RESORT = 0.1


class DoorConfig(Section, frozen=True):
    """Where it listens."""

    host: str = "127.0.0.1"
    port: Port = 0
    advertise: str = ""


class FakeConfig(Section, frozen=True):
    """[fake]"""

    workers: Count = 2
    behaviour: str = "good"
    boot: Duration = Duration(60)  # the machine may be busy
    door: DoorConfig = DoorConfig()
    desk: DoorConfig = DoorConfig()
    calls: DoorConfig = DoorConfig()
    restart: RestartConfig = RestartConfig()


def crew(settings: Settings) -> Crew:
    config, node = settings.section(FakeConfig), settings.node
    supervisor.BOOT = config.boot
    doors = {"door": Use.CLIENTS, "desk": Use.OPERATORS, "calls": Use.NODES}
    listeners = tuple(
        Listener(f"fake.{name}", use, door.host, door.port, door.advertise)
        for name, use in doors.items()
        for door in [getattr(config, name)]
    )
    return Crew(
        "fake",
        node.name,
        config.workers,
        listeners,
        config.restart,
        node.start_timeout,
        node.drain_timeout,
    )


async def serve(
    context: Context, stop: trio.Event, *, task_status: trio.TaskStatus[list[Address]]
) -> None:
    config = context.settings.section(FakeConfig)
    await BEHAVIOURS[config.behaviour]()

    async def answer(wire: Wire) -> None:
        await wire.send_all(f"{context.settings.node.name} {os.getpid()}\n".encode())
        if await wire.receive_some() == b"leave\n":
            context.leave("a client wishes it")

    addresses = []
    async with trio.open_nursery() as nursery:
        for name in ("door", "desk", "calls"):
            door = getattr(config, name)
            sockets = context.sockets.open(f"fake.{name}", door.host, door.port)
            addresses.append(Address(name, door.advertise or str(bound_to(sockets))))
            nursery.start_soon(partial(serve_wires, sockets, answer, stop=stop, grace=5.0))
        task_status.started(addresses)
        await stop.wait()
        if config.behaviour == "hangs":
            await trio.sleep_forever()


async def good() -> None:
    """Serve."""


async def refuses() -> None:
    raise ConfigError("fake.behaviour", "refuses", "expected something better")


async def dies() -> None:
    os._exit(3)


async def never_ready() -> None:
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()


BEHAVIOURS: Mapping[str, Callable[[], Awaitable[None]]] = {
    "good": good,
    "hangs": good,
    "refuses": refuses,
    "dies": dies,
    "never_ready": never_ready,
}
PART = NodePart("fake", serve, crew)


def load(file: str) -> Settings:
    words = sys.argv[2:]
    sets = [word for flag, word in pairwise(words) if flag == "--set"]
    return load_settings({"fake": FakeConfig}, files=[Path(file)], environ={}, overrides=sets)


def main() -> int:
    file = sys.argv[1]
    try:
        settings = load(file)
        configure_logs(settings.log)
        if is_worker():
            return service.run([PART], settings)
        command = [sys.executable, str(Path(__file__)), file]
        return supervisor.supervise(crew(settings), command, reload=lambda: crew(load(file)))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except PushError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
