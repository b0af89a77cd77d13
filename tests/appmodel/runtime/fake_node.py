"""A process of parts that do as they are told, for test_service.py.

    python fake_node.py message=good comet=hangs ... -- node.drain_timeout=1s ...

Each part says on stdout what happens to it. What it prints when it is asked to stop ends in what
/readyz would say then.
"""

import resource
import sys
from collections.abc import Awaitable, Callable

import trio

from appmodel.errors import ConfigError, PushError
from appmodel.runtime import service
from appmodel.runtime.logs import configure_logs
from appmodel.runtime.service import Address, Context, NodePart
from appmodel.runtime.settings import load_settings

service.PATIENCE = 0.1
service.LAST_RESORT = 0.3


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def part(name: str, behaviour: str) -> NodePart:
    async def serve(
        context: Context, stop: trio.Event, *, task_status: trio.TaskStatus[list[Address]]
    ) -> None:
        say(name, "opens", context.health.reasons())
        try:
            await BEHAVIOURS[behaviour](name, context, stop, task_status)
        finally:
            say(name, "closed")

    return NodePart(name, serve)


async def good(
    name: str, context: Context, stop: trio.Event, status: trio.TaskStatus[list[Address]]
) -> None:
    status.started([Address(f"{name}.door", f"tcp://{name}")])
    await stop.wait()
    say(name, "stops", context.health.reasons())


async def asks_to_leave(
    name: str, context: Context, stop: trio.Event, status: trio.TaskStatus[list[Address]]
) -> None:
    context.leave("it was drained")
    context.leave("it was drained, again")
    await good(name, context, stop, status)


async def hangs(
    name: str, context: Context, stop: trio.Event, status: trio.TaskStatus[list[Address]]
) -> None:
    await good(name, context, stop, status)
    await trio.sleep_forever()


async def hangs_for_good(
    name: str, context: Context, stop: trio.Event, status: trio.TaskStatus[list[Address]]
) -> None:
    with trio.CancelScope(shield=True):
        await hangs(name, context, stop, status)


async def crashes(
    name: str, context: Context, stop: trio.Event, status: trio.TaskStatus[list[Address]]
) -> None:
    status.started([])
    await trio.lowlevel.checkpoint()
    raise ZeroDivisionError("a bug")


async def leaves(
    name: str, context: Context, stop: trio.Event, status: trio.TaskStatus[list[Address]]
) -> None:
    status.started([])


async def refuses(
    name: str, context: Context, stop: trio.Event, status: trio.TaskStatus[list[Address]]
) -> None:
    raise ConfigError(f"{name}.port", 80, "expected a port that is free")


async def never_ready(
    name: str, context: Context, stop: trio.Event, status: trio.TaskStatus[list[Address]]
) -> None:
    await trio.sleep_forever()


async def tells_limit(
    name: str, context: Context, stop: trio.Event, status: trio.TaskStatus[list[Address]]
) -> None:
    say("limits", *resource.getrlimit(resource.RLIMIT_NOFILE))
    await good(name, context, stop, status)


BEHAVIOURS: dict[str, Callable[..., Awaitable[None]]] = {
    "good": good,
    "asks_to_leave": asks_to_leave,
    "hangs": hangs,
    "hangs_for_good": hangs_for_good,
    "crashes": crashes,
    "leaves": leaves,
    "refuses": refuses,
    "never_ready": never_ready,
    "tells_limit": tells_limit,
}


def main() -> int:
    split = sys.argv.index("--")
    parts = [part(*argument.split("=")) for argument in sys.argv[1:split]]
    settings = load_settings({}, environ={}, overrides=sys.argv[split + 1 :])
    configure_logs(settings.log)
    try:
        return service.run(
            parts,
            settings,
            on_ready=lambda addresses, seconds: say(
                "ready", *(address.url for address in addresses)
            ),
        )
    except PushError as error:
        say("refused:", error)
        return 3


if __name__ == "__main__":
    sys.exit(main())
