"""A view answers who owns a key, alone and in bulk, the same way."""

from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.cluster import ClusterView, Node, RingKind, Role, State
from appmodel.core.names import Key, parse_key

comets = st.lists(
    st.builds(
        Node,
        role=st.just(Role.COMET),
        name=st.sampled_from(["node1", "node2", "node3", "node4"]),
        weight=st.integers(0, 3),
        state=st.sampled_from(State),
    ),
    max_size=4,
    unique_by=lambda node: node.name,
)


@given(comets, st.sampled_from(RingKind), st.lists(st.integers(0, 10**6), max_size=30))
def test_grouping_agrees_with_owner(nodes: list[Node], kind: RingKind, ids: list[int]) -> None:
    """`by_owner` is `owner` for many keys: nothing lost, nothing twice, order kept."""
    view = ClusterView(1, tuple(nodes), kind)
    keys = [parse_key(f"u{i}@user") for i in ids]

    groups = view.by_owner(keys)

    expected: dict[str | None, list[Key]] = {}
    for key in keys:
        owner = view.owner(key)
        expected.setdefault(owner.name if owner else None, []).append(key)
    assert {name: found for name, found in groups.items() if found} == expected


def test_only_ready_comets_own() -> None:
    """Joining and draining comets are known and not on the ring."""
    nodes = tuple(Node(Role.COMET, state.value, state=state) for state in State)

    view = ClusterView(1, nodes)

    owner = view.owner(parse_key("k"))
    assert owner is not None
    assert owner.name == "ready"
