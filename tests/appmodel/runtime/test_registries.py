"""The registry of the settings, and what a process tells of it."""

from typing import Any

import msgspec
import pytest
import structlog.testing
import trio

from appmodel.core.cluster import Node, Role, State
from appmodel.core.units import Duration
from appmodel.core.znodes import Roots, Wish
from appmodel.errors import ConfigError
from appmodel.io.registry_embedded import EmbeddedRegistry
from appmodel.runtime.config import RegistryConfig, ZooKeeperConfig
from appmodel.runtime.metrics import Metrics
from appmodel.runtime.registries import (
    log_news,
    observe_registry,
    open_registry,
    open_shared_registry,
    zookeeper_options,
    zookeeper_roots,
)
from appmodel.runtime.service import open_context
from appmodel.runtime.settings import Settings, load_settings
from tests.contract.registry import until
from tests.shared_zookeeper import new_roots, open_pair, shared_server

C1 = Node(Role.COMET, "c1", 7, rpc="h:1")


def on_zookeeper(roots: Roots) -> Settings:
    place = ZooKeeperConfig(
        hosts=shared_server().hosts,
        comet_root=roots.comet,
        message_root=roots.message,
        web_root=roots.web,
    )
    return Settings.of(registry=RegistryConfig(kind="zookeeper", zookeeper=place))


async def test_processes_with_the_same_settings_see_each_other() -> None:
    """All that they need to know is where ZooKeeper is."""
    settings = on_zookeeper(new_roots())
    async with open_context(settings, ["comet"]) as ours, open_registry(settings) as theirs:
        await ours.registry.register(C1)

        await until(theirs, lambda view: view.nodes == (C1,))

        page = ours.metrics.render()[0].decode()
        assert 'registry_nodes{role="comet",state="ready"} 1.0' in page
        assert "registry_nonsense_total 0.0" in page


async def test_without_a_server_a_registry_knows_its_own_process() -> None:
    """It cannot be shared, and says which setting to change."""
    async with open_registry(Settings.of()) as registry:
        assert isinstance(registry, EmbeddedRegistry)
        assert registry.trouble is None

    with pytest.raises(ConfigError, match=r'registry\.kind = .embedded.: expected "zookeeper"'):
        async with open_shared_registry(Settings.of()):
            pass


async def test_every_event_is_one_line_with_its_cause() -> None:
    """In every process: what it did itself, and what others did."""
    events: list[tuple[Any, ...]] = []

    async def tells(count: int) -> None:
        with trio.fail_after(20):
            while len(events) < count:
                await trio.sleep(0.01)
                told = [line for line in logs if "cause" in line]
                events[:] = [(line["event"], line["node"], line["cause"]) for line in told]

    with structlog.testing.capture_logs() as logs:
        async with open_pair() as (ours, theirs), trio.open_nursery() as nursery:
            nursery.start_soon(log_news, theirs)
            await ours.register(C1)
            await tells(1)
            await ours.wish("c1", Wish(weight=3))
            await tells(2)
            await ours.wish("c1", Wish(state="draining", weight=3))
            await tells(3)
            await ours.withdraw(msgspec.structs.replace(C1, state=State.DRAINING))
            await tells(4)
            nursery.cancel_scope.cancel()

    assert events == [
        ("node joined", "c1", "it registered as ready"),
        ("node weight", "c1", "an operator's wish: 3 instead of 1"),
        ("node draining", "c1", "an operator's wish"),
        ("node left", "c1", "it was draining"),
    ]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ('hosts=["nowhere"]', "registry.zookeeper.hosts"),
        ("hosts=[]", "hosts: expected at least one"),
        ('hosts=["z:65536"]', "the port at most 65535"),
        ("refresh=0", "expected > 0"),
        ("comet_root=no/path", "registry.zookeeper.comet_root"),
        ("comet_root=/gopush-cluster-web", "three roots that do not lie in one another"),
        ("comet_root=/gopush-cluster-web/comet", "three roots that do not lie in one another"),
        ("credentials=only-a-user-swordfish", 'credentials: expected "user:password"'),
        ("sasl=true", "credentials: missing"),
        ("acl=creator", "credentials: missing"),
        ("acl=closed", "registry.zookeeper.acl = 'closed': expected one of"),
    ],
)
def test_wrong_settings_are_named(setting: str, message: str) -> None:
    """And a password is not shown."""
    with pytest.raises(ConfigError) as refused:
        load_settings({}, environ={}, overrides=[f"registry.zookeeper.{setting}"])

    assert message in str(refused.value)
    assert "swordfish" not in str(refused.value)


def test_the_settings_arrive() -> None:
    """Each of them, and the password only where it is used."""
    config = ZooKeeperConfig(
        hosts=("z:1",),
        session_timeout=Duration(4),
        comet_root="/a",
    )

    options = zookeeper_options(config)

    assert (options.hosts, options.session_timeout) == (("z:1",), 4.0)
    assert zookeeper_roots(config) == Roots(comet="/a")


def test_a_registry_can_be_observed_without_zookeeper() -> None:
    """An all-in-one node has the same page."""
    metrics = Metrics()

    observe_registry(metrics, EmbeddedRegistry([Node(Role.MESSAGE, "m1", rpc="h:1")]))

    assert 'registry_nodes{role="message",state="ready"} 1.0' in metrics.render()[0].decode()
