"""SIGKILL in the middle of a push storm: nothing that was acknowledged is lost, doubled or out of order.

Three kinds of callers push numbered messages with a ttl to a few keys; clients listen and resume by
themselves. At a random moment the process is killed and started again. In the end every message whose
push was answered has reached the client of its key exactly once, and ids rose all the way. Beside each
client, which drops what it had before, a witness keeps whatever a connection brings. `make chaos` does it more often.
"""

import json
import os
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from pathlib import Path

import appmsg_client
import httpx
import pytest
import trio

from tests.node import Node, running_node
from tests.system.witness import Witness

ROUNDS = 20 if "CHAOS_ROUNDS" in os.environ else 8  # a start of the node is most of a round
KEYS = ("u1@user", "g7@qun", "device 9")
PATIENCE = 60.0  # seconds of real time for one round: a round takes two


class Storm:
    """What was accepted, and what was received, over all rounds."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._numbers = count()
        self.accepted: dict[str, dict[int, int]] = defaultdict(dict)  # key: number: id
        self.received: dict[str, list[tuple[int, int]]] = defaultdict(list)  # key: (id, number)
        self.missing: dict[str, set[int]] = defaultdict(set)  # key: accepted, and not received yet
        self._came: dict[str, set[int]] = defaultdict(set)  # key: numbers
        self.witnesses = {key: Witness(key, node.url("comet.tcp")) for key in KEYS}
        self._count = 0  # accepted, so far
        self._progress = trio.Event()

    async def listen(self, key: str, *, task_status: trio.TaskStatus[None]) -> None:
        """A client that resumes from the last id it saw."""
        server = self._node.url("comet.websocket")
        async with appmsg_client.subscribe(key, server=server, mid=0) as messages:
            task_status.started()
            async for message in messages:
                assert isinstance(message.msg, int)
                self.received[key].append((message.mid, message.msg))
                self._came[key].add(message.msg)
                self.missing[key].discard(message.msg)
                self._moved()

    async def push_v2(self, chance: random.Random) -> None:
        """`POST /v2/push`, to one key or to all of them."""
        async with self._http("web.api") as http:
            while True:
                keys = list(KEYS) if chance.random() < 0.2 else [chance.choice(KEYS)]
                number = next(self._numbers)
                order = {"to": keys, "msg": number, "ttl": 600}
                answer = await http.post("/v2/push", json=order)
                assert answer.status_code == 200, answer.text
                for result in answer.json()["results"]:
                    self._accept(result["name"], number, result["id"])

    async def push_legacy(self, chance: random.Random) -> None:
        """`POST /1/admin/push/private`, which answers without an id."""
        async with self._http("web.admin") as http:
            while True:
                key, number = chance.choice(KEYS), next(self._numbers)
                answer = await http.post(
                    "/1/admin/push/private",
                    params={"key": key, "expire": 600},
                    content=b"%d" % number,
                )
                assert answer.json() == {"ret": 0}
                self._accept(key, number, 0)

    async def push_stream(self, chance: random.Random) -> None:
        """`POST /v2/push/stream`: bursts of lines over one request after the other."""
        async with self._http("web.api") as http:
            while True:
                orders = [(chance.choice(KEYS), next(self._numbers)) for _ in range(50)]
                lines = [json.dumps({"to": k, "msg": n, "ttl": 600}) for k, n in orders]
                body = "\n".join(lines).encode()
                async with http.stream("POST", "/v2/push/stream", content=body) as answer:
                    asked = iter(orders)
                    async for line in answer.aiter_lines():
                        key, number = next(asked)
                        self._accept(key, number, json.loads(line)["results"][0]["id"])

    async def until_accepted(self, more: int) -> None:
        """Until so many more have been answered."""
        goal = self._count + more
        while self._count < goal:
            await self._progress.wait()

    async def until_all_received(self) -> None:
        """Until every message that was answered has come."""
        while any(self.missing.values()):
            await self._progress.wait()
        for key in KEYS:
            await self.witnesses[key].until_seen(self.accepted[key].keys())

    def check(self) -> None:
        """Exactly once, in order, under the id that the caller was told."""
        for key in KEYS:
            ids = [message_id for message_id, _ in self.received[key]]
            numbers = [number for _, number in self.received[key]]
            assert ids == sorted(set(ids)), f"{key}: ids did not rise"
            assert len(numbers) == len(set(numbers)), f"{key}: a message came twice"
            told = {n: mid for n, mid in self.accepted[key].items() if mid}
            came = {number: message_id for message_id, number in self.received[key]}
            assert {n: came[n] for n in told} == told, f"{key}: came under another id"
            self.witnesses[key].check()

    def _http(self, listener: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self._node.url(listener), timeout=PATIENCE, trust_env=False
        )

    def _accept(self, key: str, number: int, message_id: int) -> None:
        self.accepted[key][number] = message_id
        self._count += 1
        if number not in self._came[key]:
            self.missing[key].add(number)
        self._moved()

    def _moved(self) -> None:
        self._progress.set()
        self._progress = trio.Event()


async def run_until_it_dies(push: Callable[[], Awaitable[None]]) -> None:
    """A caller whose server is killed sees its connection break; what it asked last is unknown."""
    try:
        await push()
    except httpx.TransportError:
        return


# httpx leaves its generators to the garbage collector when a streamed answer breaks in the middle
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <async_generator object:pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.slow
@pytest.mark.timeout(ROUNDS * PATIENCE)
async def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """Round after round, each with its own seed, over one store and one set of clients."""
    with running_node(tmp_path) as node:
        storm = Storm(node)
        async with trio.open_nursery() as clients:
            for key in KEYS:
                await clients.start(storm.listen, key)
                clients.start_soon(storm.witnesses[key].listen)
            for seed in range(ROUNDS):
                before = len(storm.accepted["u1@user"])
                await one_round(node, storm, random.Random(seed))
                print(f"seed {seed}: {len(storm.accepted['u1@user']) - before} messages of u1")  # noqa: T201
            clients.cancel_scope.cancel()


async def one_round(node: Node, storm: Storm, chance: random.Random) -> None:
    """Push, kill, start, and wait until the clients have caught up."""
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as callers:
            for push in (storm.push_v2, storm.push_v2, storm.push_legacy, storm.push_stream):
                callers.start_soon(run_until_it_dies, partial(push, chance))
            await storm.until_accepted(chance.randrange(50, 1500))
            await trio.to_thread.run_sync(node.kill)
        await trio.to_thread.run_sync(node.start)
        await storm.until_all_received()
    storm.check()
