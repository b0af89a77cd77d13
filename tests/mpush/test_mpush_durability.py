"""Item 15 of Mpush's checklist on a real node with the settings that it has by itself: what a restart and a kill -9 keep."""

from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import trio

from tests.mpush.installation import ALONE, Installation
from tests.mpush.pushing import CALLERS, Caller
from tests.mpush.waiting import at_last
from tests.mpush.world import HOST, PATIENCE, Handset, World
from tests.node import LISTENERS, Node, running_node
from tools.servers.ports import free_port
from web.config import MpushConfig

QUEUED = 3000  # messages for one device; bench/ has 20,000


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    ports = {variable: str(free_port()) for variable in LISTENERS.values()}  # nobody takes them
    with running_node(tmp_path_factory.mktemp("node"), ports) as node:
        yield node


@pytest.fixture(scope="module")
def place(node: Node) -> Installation:
    """Its ports stay the same."""
    comet, web = (urlsplit(node.url(name)).port or 0 for name in ("comet.mpush", "web.mpush"))
    return Installation({ALONE: comet}, [web])


async def restart(node: Node, *, kill: bool) -> None:
    """SIGKILL, or in order; and back again."""
    await trio.to_thread.run_sync(node.kill if kill else node.stop)
    await trio.to_thread.run_sync(node.start)


async def titles(phone: Handset, last: str) -> list[str]:
    """Of all that comes, up to that one; acknowledged."""
    found: list[str] = []
    while last not in found:
        for message in await phone.messages():
            await phone.acks(message["mid"])
            found.append(message["title"])
    return found


@pytest.mark.slow
async def test_06_and_09_as_they_are_by_themselves(world: World) -> None:
    """6. `online` after 3.0 s. 9. What nobody acknowledged comes again, with its mid, on the same connection."""
    assert MpushConfig().wait == 3.0
    name = world.name()
    phone = await world.device(name)

    asked = world.asks("GET", f"/{name}?title=x")
    assert await at_last(3.0, asked.word()) == "online\n"

    [first], [again] = await phone.messages(), await phone.messages()
    assert again == first
    await phone.acks(first["mid"])


@pytest.mark.slow
@pytest.mark.parametrize("kill", [False, True], ids=["stop", "kill"])
async def test_15_a_restart_keeps_everything(world: World, node: Node, *, kill: bool) -> None:
    """15. Devices and their groups, the queue in its order, what was acknowledged, what is delayed; mids go on rising."""
    name, group = world.name(), world.name()
    await world.absent(name, group)
    phone = await world.device(name)
    done = await world.reaches(f"/{name}", phone)
    await phone.say(b"", opcode=0x8)
    assert await phone.frame() == (0x8, b"")
    before = [await world.push(f"/{name}?title={number}") for number in range(5)]
    await world.ask("GET", f"/{name}?title=soon&delay=2s")
    later = (await world.ask("GET", f"/{name}?title=later&delay=1h")).body.decode().split()

    await restart(node, kill=kill)

    assert (await world.ask("GET", f"/{world.name()}?title=x")).body == b"no\n"
    after = await world.push(f"/{name}?title=after")
    assert [done, *before, after] == sorted({done, *before, after})
    reply = world.asks("GET", f"/{group}.group?text=last")
    phone = await world.device(name)
    found = await titles(phone, "last")
    assert await reply.states() == {name: "ok"}
    if "soon" not in found:
        found += await titles(phone, "soon")
    found.remove("soon")
    expected = [*map(str, range(5)), "after", "last"]
    assert found[-len(expected) :] == expected
    assert len(found) - len(expected) <= kill  # an acknowledgement of the last moment
    assert later[0] == "delayed"
    taken_back = await world.ask("DELETE", f"/{name}/delayed/{later[1]}")
    assert taken_back.body == b"ok\n"


class Queue:
    """What callers were told, and what the device got."""

    def __init__(self, name: str, port: int) -> None:
        self._name, self._port = name, port
        self._number = 0
        self.half = trio.Event()  # of QUEUED were answered
        self.told: dict[str, str] = {}  # title by mid, of those that were answered
        self.got: dict[str, str] = {}  # the same, of those that came

    async def push(self, until: int) -> None:
        """Callers, as fast as they can, until so many were answered or the node is gone."""
        async with trio.open_nursery() as nursery:
            for _ in range(CALLERS):
                nursery.start_soon(self._call, until)

    async def _call(self, until: int) -> None:
        try:
            async with await trio.open_tcp_stream(HOST, self._port) as stream:
                caller = Caller(stream)
                while len(self.told) < until:
                    self._number += 1
                    title = str(self._number)
                    answer = await caller.get(f"/{self._name}?title={title}")
                    assert answer.body == b"offline\n", answer
                    self.told[answer.headers["x-mpush-mid"]] = title
                    if len(self.told) == QUEUED // 2:
                        self.half.set()
        except (trio.BrokenResourceError, OSError):
            return  # it is gone

    async def take(self, phone: Handset, until: int) -> None:
        """Take and acknowledge, until so many have come in all or all that was told has; mids rise, none comes twice."""
        last = ""
        while len(self.got) < until and not self.told.keys() <= self.got.keys():
            messages = await phone.messages()
            for message in messages:
                assert message["mid"] > last
                last = message["mid"]
                self.got[last] = message["title"]
            await phone.acks(*(message["mid"] for message in messages))


@pytest.mark.slow
async def test_whatever_was_answered_arrives(world: World, node: Node, place: Installation) -> None:
    """15. Thousands queue up for one device, at full speed; the node is killed in the middle, and again while it delivers."""
    name = await world.absent()
    queue = Queue(name, place.webs[0])

    with trio.fail_after(2 * PATIENCE):
        async with trio.open_nursery() as callers:
            callers.start_soon(queue.push, QUEUED)
            await queue.half.wait()
            await trio.to_thread.run_sync(node.kill)
        killed_at = len(queue.told)
        await trio.to_thread.run_sync(node.start)
        await queue.push(QUEUED)

        await queue.take(await world.device(name), until=QUEUED // 2)
        await restart(node, kill=True)
        phone = await world.device(name)
        await queue.take(phone, until=QUEUED * 10)
        await world.reaches(f"/{name}", phone)

    assert QUEUED // 2 <= killed_at < QUEUED <= len(queue.told)
    assert queue.told.items() <= queue.got.items()
    assert set(Counter(queue.got.values()).values()) == {1}, "one has two mids"
    assert len(queue.got) - len(queue.told) <= CALLERS  # asked, and killed before the answer
