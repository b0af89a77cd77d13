"""Namespaces as a comet knows them."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest
import trio
import trio.testing

from appmodel.core.lightpush import note_of
from appmodel.core.lightpush_records import Namespace
from appmodel.core.units import Duration
from appmodel.errors import Unavailable
from appmodel.io.caching import Cache, Changes
from comet.config import LightPushConfig
from comet.core.rules import Client, Dismiss
from comet.io.lightpush_watching import Watching
from tests.comet.world import LIMIT


class Source:
    """Implements what `Watching` uses of a cache and of changes; `is_away`: the database."""

    def __init__(self) -> None:
        self.records = {"/demo": Namespace("/demo")}
        self.is_away = self.hangs = False
        self.asked = 0
        self._hear: Any = None

    async def get(self, key: str) -> Namespace | None:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        if self.hangs:
            await trio.sleep_forever()
        if self.is_away:
            raise Unavailable("away")
        return self.records.get(key)

    def listen(self, hear: Any) -> None:
        self._hear = hear

    def change(self, namespace: Namespace | None, key: str = "/demo") -> None:
        """As a node changes it: first it is so, then it is noted."""
        if namespace is None:
            del self.records[key]
        else:
            self.records[key] = namespace
        self._hear({note_of(key), "other:subject"})

    def lose_track(self) -> None:
        """Anything may have changed."""
        self._hear(None)


class Member:
    """A client that notes what it is told to do."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.news = trio.Event()

    def do(self, effects: Sequence[Any]) -> None:
        self.told += effects
        self.news.set()


def watch(source: Source, clients: Mapping[str, Sequence[Member]] | None = None) -> Watching:
    """Over that source."""
    present = clients or {}
    return Watching(
        cast("Cache[str, Namespace]", source),
        cast("Changes", source),
        LightPushConfig(lookup_timeout=Duration(0.05), namespaces=2),
        here=lambda key: cast("Sequence[Client]", present.get(key, ())),
    )


OFFLINE = Namespace("/demo", is_offline=True)


@pytest.mark.parametrize("trouble", ["is_away", "hangs"])
async def test_what_was_known_counts_while_the_database_is_away(
    trouble: str, autojump_clock: trio.testing.MockClock
) -> None:
    """Clients of a namespace that nobody knew yet cannot come in."""
    source = Source()
    watching = watch(source)
    known = await watching.find("/demo")

    setattr(source, trouble, True)

    assert await watching.find("/demo") is known
    with pytest.raises(Unavailable, match="cannot be looked up now"):
        await watching.find("/other")


async def test_a_namespace_that_is_gone_is_forgotten() -> None:
    """Also for times when the database is away; and only so many are remembered."""
    source = Source()
    watching = watch(source)
    await watching.find("/demo")
    del source.records["/demo"]
    assert await watching.find("/demo") is None
    source.records |= {f"/{name}": Namespace(f"/{name}") for name in "abc"}
    for name in "abc":
        await watching.find(f"/{name}")

    source.is_away = True

    for name in ("/demo", "/a"):
        with pytest.raises(Unavailable):
            await watching.find(name)
    assert await watching.find("/c") is not None


@pytest.mark.parametrize("record", [OFFLINE, None])
async def test_who_is_in_a_namespace_that_goes_offline_is_dismissed_after_a_while(
    record: Namespace | None, autojump_clock: trio.testing.MockClock
) -> None:
    """Within 5 s and 100 ms a client; once."""
    source, members = Source(), [Member() for _ in range(600)]
    watching = watch(source, {"/demo": members})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watching.run)
        watching.entered(Namespace("/demo"))
        began = trio.current_time()

        source.change(record)
        source.lose_track()
        for member in members:
            await member.news.wait()
        await trio.testing.wait_all_tasks_blocked()

        assert trio.current_time() - began <= 5 + 60
        assert all(member.told == [Dismiss("namespace offline")] for member in members)
        assert watching.dismissed == 600
        nursery.cancel_scope.cancel()


async def test_who_is_in_a_namespace_that_comes_back_in_time_stays(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator may have slipped."""
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    source, member = Source(), Member()
    watching = watch(source, {"/demo": [member]})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watching.run)
        watching.entered(Namespace("/demo"))

        source.change(OFFLINE)
        await trio.sleep(4)
        source.change(Namespace("/demo"))
        await trio.sleep(60)

        assert member.told == []
        assert watching.current("/demo") == Namespace("/demo")
        nursery.cancel_scope.cancel()


async def test_a_change_that_was_not_noted_is_seen_after_a_while(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """And one that could not be read is read later. Namespaces without clients are not asked for."""
    source, member = Source(), Member()
    watching = watch(source, {"/demo": [member]})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watching.run)
        watching.entered(Namespace("/demo"))
        source.is_away = True
        source.change(OFFLINE)
        await trio.testing.wait_all_tasks_blocked()
        assert watching.current("/demo") == Namespace("/demo")

        source.is_away = False
        with trio.fail_after(LIMIT * 6):
            await member.news.wait()

        watching.emptied("/demo")
        asked = source.asked
        source.change(Namespace("/demo"))
        await trio.sleep(60)
        assert source.asked == asked
        nursery.cancel_scope.cancel()
