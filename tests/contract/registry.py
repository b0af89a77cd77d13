"""What every registry keeps to. A subclass only says how to open one.

class TestMyRegistry(RegistryContract):
    def open_registry(self): ...
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from appmodel.core.cluster import ClusterView, Node, Role, State
from appmodel.core.interfaces import Registry
from appmodel.core.names import parse_key

PATIENCE = 30.0  # seconds for news to travel
COMET = Node(Role.COMET, "c1", 7, 2, State.READY, "h:6970", ("h:6968",), ("h:6969", "h:6979"), 9)


async def until(registry: Registry, seen: Callable[[ClusterView], bool]) -> ClusterView:
    """The first view for which `seen` is true."""
    with trio.fail_after(PATIENCE):
        view = registry.view
        while not seen(view):
            view = await registry.wait_newer(view.version)
    return view


def with_state(state: State, incarnation: int = COMET.incarnation) -> Node:
    """The comet, later in its life."""
    return msgspec.structs.replace(COMET, state=state, incarnation=incarnation)


class RegistryContract:
    """The suite."""

    def open_registry(self) -> AbstractAsyncContextManager[tuple[Registry, Registry]]:
        """Two clients of one new and empty registry; they may be the same object."""
        raise NotImplementedError

    @pytest.fixture
    async def pair(self) -> Any:
        """The two clients: what one announces, the other sees."""
        async with self.open_registry() as pair:
            yield pair

    async def test_an_empty_registry_has_no_owners(self, pair: tuple[Registry, Registry]) -> None:
        """A view exists from the start; nobody owns a key in it."""
        view = pair[0].view

        assert view.nodes == ()
        assert view.owner(parse_key("u1@user")) is None
        assert view.messages == ()
        assert [registry.trouble for registry in pair] == [None, None]

    async def test_what_is_announced_is_seen_as_it_is(
        self, pair: tuple[Registry, Registry]
    ) -> None:
        """All that a node says of itself arrives, at others and at itself."""
        ours, theirs = pair

        await ours.register(COMET)

        for registry in pair:
            view = await until(registry, lambda view: view.nodes != ())
            assert view.nodes == (COMET,)
        assert theirs.view.owner(parse_key("u1@user")) == COMET

    async def test_announcing_again_changes_what_is_known(
        self, pair: tuple[Registry, Registry]
    ) -> None:
        """A node is one entry however often it speaks; only a ready comet is on the ring."""
        ours, theirs = pair
        for state in (State.JOINING, State.READY, State.DRAINING):
            node = with_state(state)

            await ours.register(node)

            view = await until(theirs, lambda view, node=node: node in view.nodes)  # type: ignore[misc]  # mypy: a default in a lambda
            assert view.nodes == (node,)
            assert (node.name in view.comets) == (state is State.READY)

    async def test_roles_have_names_of_their_own(self, pair: tuple[Registry, Registry]) -> None:
        """An all-in-one node is three nodes of one name."""
        ours, theirs = pair
        nodes = [Node(role, "n1", rpc="h:1") for role in Role]

        for node in nodes:
            await ours.register(node)

        view = await until(theirs, lambda view: len(view.nodes) == 3)
        assert {node.role for node in view.nodes} == set(Role)
        assert [node.role for node in view.messages] == [Role.MESSAGE]

    async def test_what_one_role_withdraws_the_others_keep(
        self, pair: tuple[Registry, Registry]
    ) -> None:
        """A part of an all-in-one node stops before the others."""
        ours, theirs = pair
        nodes = [Node(role, "n1", 5, rpc="h:1") for role in Role]
        for node in nodes:
            await ours.register(node)

        await ours.withdraw(nodes[0])

        view = await until(theirs, lambda view: len(view.nodes) == 2)
        assert set(view.nodes) == set(nodes[1:])

    async def test_saying_the_same_again_is_no_news_to_anybody(
        self, pair: tuple[Registry, Registry]
    ) -> None:
        """Nobody is woken for nothing."""
        ours, theirs = pair
        await ours.register(COMET)
        await until(theirs, lambda view: view.nodes == (COMET,))
        versions = [registry.view.version for registry in pair]

        await ours.register(COMET)
        await ours.withdraw(Node(Role.COMET, "c2"))

        assert [registry.view.version for registry in pair] == versions

    async def test_who_has_registered_sees_itself(self, pair: tuple[Registry, Registry]) -> None:
        """At once, so that a comet knows its own share of the keys."""
        ours, _ = pair

        await ours.register(COMET)

        assert ours.view.find(COMET) == COMET
        assert ours.view.owner(parse_key("u1@user")) == COMET

    async def test_versions_only_grow_and_views_never_change(
        self, pair: tuple[Registry, Registry]
    ) -> None:
        """A view that somebody holds stays what it was; a newer one has a higher version."""
        ours, _ = pair
        views = [ours.view]
        for number in range(4):
            await ours.register(Node(Role.COMET, f"c{number}"))
            views.append(await until(ours, lambda view: len(view.nodes) == len(views)))

        assert [len(view.nodes) for view in views] == [0, 1, 2, 3, 4]
        versions = [view.version for view in views]
        assert versions == sorted(set(versions))

    async def test_everybody_who_waits_hears_of_a_change(
        self, pair: tuple[Registry, Registry]
    ) -> None:
        """Waiting for news returns with them; for old news at once."""
        ours, theirs = pair
        start = theirs.view.version
        heard: list[ClusterView] = []

        async def wait() -> None:
            heard.append(await theirs.wait_newer(start))

        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait)
                nursery.start_soon(wait)
                await trio.testing.wait_all_tasks_blocked()
                await ours.register(COMET)
            await wait()

        assert len(heard) == 3
        assert all(view.version > start for view in heard)

    async def test_cancelling_a_wait_loses_nothing(self, pair: tuple[Registry, Registry]) -> None:
        """Who gives up and asks again with the same version misses no change."""
        ours, theirs = pair
        start = theirs.view.version
        with trio.CancelScope() as scope:
            scope.cancel()
            await theirs.wait_newer(start)

        await ours.register(COMET)

        with trio.fail_after(PATIENCE):
            assert (await theirs.wait_newer(start)).version > start

    async def test_what_is_withdrawn_is_gone(self, pair: tuple[Registry, Registry]) -> None:
        """Once, or twice: there is nothing to withdraw then."""
        ours, theirs = pair
        await ours.register(COMET)
        await until(theirs, lambda view: view.nodes != ())

        await ours.withdraw(COMET)
        await ours.withdraw(COMET)

        view = await until(theirs, lambda view: view.nodes == ())
        assert view.owner(parse_key("u1@user")) is None

    async def test_a_node_of_the_past_cannot_take_back_its_successor(
        self, pair: tuple[Registry, Registry]
    ) -> None:
        """A slow goodbye of the process before does not remove the one that took its name."""
        ours, theirs = pair
        successor = with_state(State.READY, COMET.incarnation + 1)
        await ours.register(COMET)
        await ours.register(successor)
        await until(theirs, lambda view: successor in view.nodes)

        await ours.withdraw(COMET)
        await ours.register(Node(Role.WEB, "w1"))

        view = await until(theirs, lambda view: len(view.nodes) != 1)
        assert successor in view.nodes
