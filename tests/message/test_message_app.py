"""The message node as a part of a process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio
from trio.testing import MockClock

from appmodel.core.cluster import Role, State
from appmodel.core.message import Saved
from appmodel.core.units import Duration
from appmodel.errors import ConfigError, NotStored, Unavailable
from appmodel.runtime.config import AuthConfig, RegistryConfig, StaticNode
from appmodel.runtime.service import Address, Context, open_context
from appmodel.runtime.settings import Settings
from message.app import NODE
from message.config import MessageConfig, OpsConfig, RpcConfig, SqliteConfig
from message.stores.memory import MemoryStore
from message.stores.sqlite import SqliteStore
from tests.contract.saves import A, push
from tests.message.stores.opening import limit_pages
from tests.registry_views import note_states

FAR = 4e9  # Unix seconds: never expires here


def settings(path: Path, **options: object) -> Settings:
    """Of a node on free ports with its store in that file."""
    message = MessageConfig(
        rpc=RpcConfig(port=0),
        ops=OpsConfig(port=0),
        sqlite=SqliteConfig(path=str(path)),
        **options,  # type: ignore[arg-type]  # each test knows its own
    )
    return Settings.of(message=message)


@asynccontextmanager
async def run_node(
    given: Settings, parts: set[str]
) -> AsyncIterator[tuple[Context, dict[str, str]]]:
    """The node in a process of these parts, and where it listens; stopped at the end of the block."""
    async with open_context(given, parts) as context, trio.open_nursery() as nursery:
        stop = trio.Event()
        addresses: list[Address] = await nursery.start(NODE.serve, context, stop)
        yield context, {address.name: address.url for address in addresses}
        stop.set()


async def test_all_in_one_has_the_store_in_memory(tmp_path: Path) -> None:
    """The other parts of the process get the object itself; nobody listens for calls."""
    parts = {"message", "comet", "web"}
    async with run_node(settings(tmp_path / "m.db"), parts) as (context, addresses):
        assert set(addresses) == {"message.ops"}
        provided: list[object] = [context.peers.store(), context.peers.ledger()]
        assert [type(each) for each in provided] == [SqliteStore, SqliteStore]
        assert [(n.role, n.rpc) for n in context.registry.view.messages] == [(Role.MESSAGE, "")]

    assert context.registry.view.messages == ()


async def test_others_see_that_it_stops(tmp_path: Path) -> None:
    """It is asked no more before it has gone."""
    seen: list[list[State]] = []
    running = run_node(settings(tmp_path / "m.db"), {"message"})
    async with trio.open_nursery() as nursery, running as (context, _):
        nursery.start_soon(note_states, context.registry, Role.MESSAGE, seen)

    assert seen[-2:] == [[State.DRAINING], []]


async def test_a_node_of_its_own_answers_calls(tmp_path: Path) -> None:
    """Another process saves, fetches and remembers over RPC, and hears errors as they were raised."""
    async with run_node(settings(tmp_path / "m.db"), {"message"}) as (context, addresses):
        dialled = addresses["message.rpc"].removeprefix("rpc://")
        assert [node.rpc for node in context.registry.view.messages] == [dialled]
        elsewhere = Settings.of(
            registry=RegistryConfig(nodes=(StaticNode(Role.MESSAGE, "m1", rpc=dialled),))
        )
        async with open_context(elsewhere, {"web"}) as other:
            store, ledger = other.peers.store(), other.peers.ledger()
            saved = await store.save([push(1, at=1, expires_at=FAR)])
            page = await store.fetch(A, 0, limit=10)
            with pytest.raises(NotStored, match="proposed_id"):
                await store.save([push(2, at=2**53 - 1)])
            assert await ledger.remember(b"name", b"one", kept_until=FAR) == b"one"
            assert await ledger.remember(b"name", b"two", kept_until=FAR) == b"one"

    assert saved == [Saved((page.messages[0].id,), (0,))]
    assert [message.body for message in page.messages] == [b'"body"']


async def test_operators_see_the_store(tmp_path: Path) -> None:
    """Counters on /metrics; a disk that is full makes the node not ready, and says so."""
    async with (
        run_node(settings(tmp_path / "m.db"), {"message"}) as (context, addresses),
        httpx.AsyncClient() as client,
    ):
        store = context.peers.store()
        assert isinstance(store, SqliteStore)
        await store.save([push(1, at=1, expires_at=FAR)])
        metrics = addresses["message.ops"]
        page = (await client.get(metrics)).text
        ready = await client.get(metrics.replace("metrics", "readyz"))
        await limit_pages(store, 1)
        with pytest.raises(NotStored):
            await store.save([push(2, at=1, body=b"1" * 100_000, expires_at=FAR)])
        unready = await client.get(metrics.replace("metrics", "readyz"))

    assert "message_saved_total 1.0" in page
    assert ready.status_code == 200
    assert unready.status_code == 503
    assert "full" in unready.json()["reasons"]["store"]


async def test_the_memory_store_can_be_chosen(tmp_path: Path) -> None:
    """Then there is no file."""
    async with run_node(settings(tmp_path / "m.db", store="memory"), {"message"}) as (context, _):
        await context.peers.store().save([push(1, at=1, expires_at=FAR)])

    assert not await trio.Path(tmp_path / "m.db").exists()


async def test_what_has_expired_is_swept(tmp_path: Path, autojump_clock: MockClock) -> None:
    """By the node itself."""
    given = settings(tmp_path / "m.db", store="memory", sweep_interval=Duration(5))
    async with run_node(given, {"message"}) as (context, _):
        store = context.peers.store()
        assert isinstance(store, MemoryStore)
        await store.save([push(1, at=1, expires_at=1.0)])

        await trio.sleep(6)

        assert store.notices.swept == 1


async def test_a_listener_that_asks_for_nothing_stays_at_home(tmp_path: Path) -> None:
    """Without authentication the node refuses to start on a public address."""
    message = MessageConfig(ops=OpsConfig(host="0.0.0.0"), store="memory")
    given = Settings.of(message=message, auth=AuthConfig(mode="off"))

    refusal = pytest.RaisesExc(ConfigError, match="message.ops.host")
    with pytest.RaisesGroup(refusal, flatten_subgroups=True):
        async with run_node(given, {"message"}):
            pass


async def test_a_stopped_node_is_not_called(tmp_path: Path) -> None:
    """A call after the end says that nothing was done."""
    async with run_node(settings(tmp_path / "m.db"), {"message"}) as (context, _):
        store = context.peers.store()

    with pytest.raises(NotStored, match="closing"):
        await store.save([push(1)])
    with pytest.raises(Unavailable, match="closing"):
        await store.marks([A])
