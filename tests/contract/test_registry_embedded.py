"""The registry of one process keeps the contract, and knows the configured nodes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from appmodel.core.cluster import Node, RingKind, Role, State
from appmodel.core.interfaces import Registry
from appmodel.core.names import parse_key
from appmodel.errors import ConfigError
from appmodel.io.registry_embedded import EmbeddedRegistry
from tests.contract.registry import RegistryContract


@asynccontextmanager
async def open_embedded() -> AsyncIterator[tuple[Registry, Registry]]:
    registry = EmbeddedRegistry()
    yield registry, registry


class TestEmbeddedRegistry(RegistryContract):
    open_registry = staticmethod(open_embedded)


CONFIGURED = Node(Role.COMET, "c1", rpc="h:6970")


async def test_configured_nodes_are_there_from_the_start() -> None:
    """Parts that run as processes of their own find each other without a server."""
    message = Node(Role.MESSAGE, "m1", rpc="h:8070")

    view = EmbeddedRegistry([CONFIGURED, message], ring_kind=RingKind.MURMUR).view

    assert view.comets == {"c1": CONFIGURED}
    assert view.messages == (message,)
    assert view.ring_kind is RingKind.MURMUR
    assert view.owner(parse_key("u1@user")) == CONFIGURED


async def test_a_node_that_speaks_for_itself_replaces_what_was_configured() -> None:
    """One configuration may list all nodes, this one too."""
    registry = EmbeddedRegistry([CONFIGURED])
    joining = Node(Role.COMET, "c1", 5, state=State.JOINING, rpc="h:6970")

    await registry.register(joining)

    assert registry.view.nodes == (joining,)
    await registry.withdraw(joining)
    assert not registry.view.nodes


async def test_saying_the_same_again_is_no_news() -> None:
    """Nobody is woken for nothing."""
    registry = EmbeddedRegistry()
    await registry.register(CONFIGURED)
    version = registry.view.version

    await registry.register(CONFIGURED)
    await registry.withdraw(Node(Role.COMET, "c2"))

    assert registry.view.version == version


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([CONFIGURED, CONFIGURED], r"registry\.nodes\.name = 'c1'.*one comet node of that name"),
        ([Node(Role.MESSAGE, "m1")], r"registry\.nodes\.rpc = ''.*message node 'm1' takes calls"),
    ],
)
def test_a_wrong_list_is_refused(nodes: list[Node], expected: str) -> None:
    """At start, with the key and what was expected."""
    with pytest.raises(ConfigError, match=expected):
        EmbeddedRegistry(nodes)
