"""Mpush is opened as the configuration says: its books, its token, its devices."""

from collections.abc import Collection
from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from appmodel.core.lightpush_records import Hidden
from appmodel.core.mpush_stores import Delayed, Receiver, ReceiverKind
from appmodel.errors import ConfigError, LimitReached, Unavailable
from appmodel.io.database import Database
from appmodel.runtime.config import MpushConfig, MpushHookConfig, Password
from appmodel.runtime.mpush import PAUSE, open_mpush_books, preregister, require_own_token
from appmodel.runtime.settings import Settings

NOW = 1_800_000_000_000  # ms


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_the_bounds_are_those_of_the_configuration(database: Database) -> None:
    """And devices that it names are there, however often a node starts."""
    config = MpushConfig(
        registers=("a", "b", "a"), devices=2, receivers=1, delayed=2, delayed_per_target=1
    )
    books = open_mpush_books(Settings.of(mpush=config), database)
    for _ in range(2):
        await preregister(Settings.of(mpush=config), books)

    assert list(await books.devices.find(["a", "b", "c"])) == ["a", "b"]
    with pytest.raises(LimitReached, match=r"mpush\.devices"):
        await books.devices.register("c", now=NOW)
    await books.receivers.add(_hook("https://a/"), cursor=0, now=NOW)
    with pytest.raises(LimitReached, match=r"mpush\.receivers"):
        await books.receivers.add(_hook("https://b/"), cursor=0, now=NOW)
    await books.delays.put([Delayed("1", "a", NOW, b"{}", 60)])
    with pytest.raises(LimitReached, match=r"mpush\.delayed_per_target"):
        await books.delays.put([Delayed("2", "a", NOW, b"{}", 60)])
    await books.delays.put([Delayed("2", "b", NOW, b"{}", 60)])
    with pytest.raises(LimitReached, match=r"mpush\.delayed:"):
        await books.delays.put([Delayed("3", "c", NOW, b"{}", 60)])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_the_well_known_token_is_good_at_home(host: str) -> None:
    """As in the original, for trying it out."""
    require_own_token("comet.mpush", host, "mpush")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_strangers_do_not_come_in_with_it(host: str) -> None:
    """The node does not start; with a token of its own, or none, it does."""
    with pytest.raises(ConfigError, match=r"^mpush\.token = .* keep web\.mpush\.host"):
        require_own_token("web.mpush", host, Password("mpush"))

    require_own_token("web.mpush", host, Password("another one"))
    require_own_token("web.mpush", host, Password(""))


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_devices_of_the_configuration_wait_for_the_database(
    database: Database, mock_clock: MockClock
) -> None:
    """A node starts without them, and makes them once it answers."""
    settings = Settings.of(mpush=MpushConfig(registers=("a",)))
    books = open_mpush_books(settings, database)
    register, failures = books.devices.preregister, ["away", "still away"]

    async def fails_at_first(names: Collection[str], *, now: int) -> None:
        if failures:
            raise Unavailable(failures.pop())
        await register(names, now=now)

    books.devices.preregister = fails_at_first  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(preregister, settings, books))
        has_started_without = len(failures)
        for _ in range(2):
            mock_clock.jump(PAUSE)
            await wait_all_tasks_blocked()

    assert has_started_without == 1
    assert list(await books.devices.find(["a"])) == ["a"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"registers": ("a", "")}, "registers: got '', expected a name that is not empty"),
        ({"registers": ("a\n",)}, "registers: .* printable"),
        ({"registers": ("a", "b"), "devices": 1}, "registers: expected at most `devices`"),
        ({"ttl": 0.5}, "ttl: expected at least 1 s"),
    ],
)
def test_a_name_that_nobody_can_have_stops_the_start(
    given: dict[str, object], message: str
) -> None:
    """As any wrong setting does."""
    with pytest.raises(ValueError, match=message):
        MpushConfig(**given)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": ""}, "name: got '', expected a name that is not empty"),
        ({"group": "a\n"}, "group: .* printable"),
        ({"url": "ftp://nas.example/secret"}, "url: got 'ftp://nas.example', expected an absolute"),
        ({"authorization": "Bearer a\r\nb"}, "authorization: expected printable ASCII"),
    ],
)
def test_a_web_hook_that_cannot_be_called_stops_the_start(
    given: dict[str, str], message: str
) -> None:
    """With the field that is wrong, and no secret of it."""
    usual = {"name": "nas", "url": "https://nas.example/secret"}

    with pytest.raises(ValueError, match=message) as caught:
        MpushHookConfig(**(usual | given))  # type: ignore[arg-type]  # texts

    assert "secret" not in str(caught.value)
    assert "Bearer" not in str(caught.value)


def test_two_web_hooks_of_one_name_stop_the_start() -> None:
    """A device has one connection, and a hook is one."""
    hook = MpushHookConfig(name="nas", url=Password("https://nas.example/"))

    with pytest.raises(
        ValueError, match=r"hooks: expected a name of its own for each, got \['nas', 'nas'\]"
    ):
        MpushConfig(hooks=(hook, hook))
    assert "nas.example" not in repr(hook)


def _hook(address: str) -> Receiver:
    return Receiver("a", ReceiverKind.WEBHOOK, address, Hidden(""), NOW)
