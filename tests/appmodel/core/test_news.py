"""What happened between two views is told once, with its cause."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.cluster import ClusterView, Node, Role, State
from appmodel.core.news import news
from appmodel.core.znodes import Wish

C1 = Node(Role.COMET, "c1", 7, rpc="h:1")


def told(
    before: Node | None, after: Node | None, wish: Wish | None = None
) -> list[tuple[str, str]]:
    """Events and causes."""
    old, new = (ClusterView(0, (node,) if node else ()) for node in (before, after))
    return [(n.event, n.cause) for n in news(old, new, {"c1": wish} if wish else None)]


def changed(**fields: object) -> Node:
    return msgspec.structs.replace(C1, **fields)


def test_coming_and_going() -> None:
    """Why it is gone can be told from its last words."""
    assert told(None, C1) == [("node joined", "it registered as ready")]
    assert told(C1, None) == [("node left", "it stopped, or its session is over")]
    assert told(changed(state=State.DRAINING), None) == [("node left", "it was draining")]


def test_a_restart_is_two_things() -> None:
    """Another process under the same name."""
    assert [event for event, _ in told(C1, changed(incarnation=8))] == ["node left", "node joined"]


def test_states() -> None:
    """Each has its own word."""
    joining, standby = changed(state=State.JOINING), changed(state=State.STANDBY)
    draining = changed(state=State.DRAINING)

    assert told(joining, C1) == [("node ready", "it has joined")]
    assert told(standby, C1)[0][0] == "node took over"
    assert told(C1, standby)[0][0] == "node standby"
    assert told(C1, draining) == [("node draining", "it is stopping")]
    assert told(C1, draining, Wish("draining")) == [("node draining", "an operator's wish")]
    assert told(draining, C1) == [("node ready", "it drains no longer")]


def test_weight_and_addresses() -> None:
    """Who asked for another weight is known."""
    heavy = changed(weight=3)

    assert told(C1, heavy) == [("node weight", "its own setting: 3 instead of 1")]
    assert told(C1, heavy, Wish(weight=3)) == [
        ("node weight", "an operator's wish: 3 instead of 1")
    ]
    assert told(C1, changed(ws=("h:2",))) == [("node moved", "it announces other addresses")]


def test_a_wish_for_a_comet_is_none_for_others_of_its_name() -> None:
    """An all-in-one node has three nodes of one name."""
    before, after = (Node(Role.MESSAGE, "c1", 7, weight=weight) for weight in (1, 2))

    assert "its own setting" in told(before, after, Wish(weight=2))[0][1]


nodes = st.builds(
    Node,
    role=st.sampled_from(Role),
    name=st.sampled_from(["a", "b"]),
    incarnation=st.integers(0, 1),
    weight=st.integers(0, 1),
    state=st.sampled_from(State),
)
views = st.lists(nodes, max_size=4, unique_by=lambda n: (n.role, n.name, n.incarnation)).map(
    lambda found: ClusterView(0, tuple(found))
)


@given(views, views)
def test_no_change_is_untold(before: ClusterView, after: ClusterView) -> None:
    """There is news exactly if something is different."""
    assert bool(news(before, after)) == (set(before.nodes) != set(after.nodes))
