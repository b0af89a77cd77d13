"""A store that is not shared, and a second message node."""

import pytest

from appmodel.core.cluster import Node, Role, State
from appmodel.errors import ConfigError
from appmodel.io.registry_embedded import EmbeddedRegistry
from message.io.alone import register_alone

UNSHARED = pytest.mark.parametrize("store", ["sqlite", "memory"])


def message(name: str, started: int, state: State = State.READY) -> Node:
    return Node(Role.MESSAGE, name, incarnation=started, state=state, rpc=f"{name}.example:8070")


class Crowded(EmbeddedRegistry):
    """While somebody registers here, somebody else does."""

    def __init__(self, *others: Node) -> None:
        super().__init__()
        self._others = others

    async def register(self, node: Node) -> None:
        for other in self._others:
            await super().register(other)
        await super().register(node)


@UNSHARED
@pytest.mark.parametrize("state", list(State))
async def test_it_does_not_start_beside_another(store: str, state: State) -> None:
    """Whatever that one is doing: the error names the setting and the other node."""
    registry = EmbeddedRegistry()
    await registry.register(message("m1", 1, state=state))

    with pytest.raises(ConfigError, match=r"message\.store = .*'m1' at m1\.example:8070"):
        await register_alone(registry, message("m2", 2), store)

    assert [node.name for node in registry.view.nodes] == ["m1"]


@UNSHARED
async def test_of_two_that_start_at_once_one_stays(store: str) -> None:
    """The older one: the other takes its registration back."""
    registry = Crowded(message("m1", 1))
    with pytest.raises(ConfigError, match="'m1'"):
        await register_alone(registry, message("m2", 2), store)
    assert [node.name for node in registry.view.nodes] == ["m1"]

    registry = Crowded(message("m2", 2))
    await register_alone(registry, message("m1", 1), store)
    assert {node.name for node in registry.view.nodes} == {"m1", "m2"}


@UNSHARED
async def test_who_is_no_message_node_of_another_name_is_no_reason(store: str) -> None:
    """Comets and webs, and what is left in the registry of its own process before."""
    registry = Crowded(Node(Role.COMET, "c2"))
    await registry.register(message("m1", 1))
    await registry.register(Node(Role.WEB, "w1"))

    await register_alone(registry, message("m1", 2), store)

    assert [node.incarnation for node in registry.view.messages] == [2]


@pytest.mark.parametrize("store", ["redis", "sql"])
async def test_shared_stores_have_many_nodes(store: str) -> None:
    """That is what they are for."""
    registry = Crowded(message("m3", 0))
    await registry.register(message("m1", 1))

    await register_alone(registry, message("m2", 2), store)

    assert len(registry.view.messages) == 3
