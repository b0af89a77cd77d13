"""What happened between two views, in words: one line per node and change, with its cause.

node joined     a process registered                     node took over   a standby leads now
node left       it stopped, or its session is over       node standby     an older process leads
node ready      it takes its share of the keys           node weight      its share changed
node draining   it hands its clients over                node moved       it announces other addresses
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from appmodel.core.cluster import ClusterView, Node, Role, State
from appmodel.core.znodes import Wish

Identity = tuple[Role, str, int, str]


@dataclass(frozen=True, slots=True)
class News:
    """A change of one node, and why."""

    event: str
    node: Node  # as it is now; of one that left, as it was
    cause: str


def news(
    before: ClusterView, after: ClusterView, wishes: Mapping[str, Wish] | None = None
) -> list[News]:
    """What changed. `wishes`, by comet, are those of `after`."""
    old, new = _by_identity(before), _by_identity(after)
    found = [_left(old[identity]) for identity in old if identity not in new]
    for identity, node in new.items():
        if identity not in old:
            found.append(News("node joined", node, f"it registered as {node.state.value}"))
        elif old[identity] != node:
            wish = (wishes or {}).get(node.name) if node.role is Role.COMET else None
            found += _changed(old[identity], node, wish or Wish())
    return found


def _by_identity(view: ClusterView) -> dict[Identity, Node]:
    """Processes that cannot be told apart are one: those of the originals say little."""
    return {(node.role, node.name, node.incarnation, node.rpc): node for node in view.nodes}


def _left(node: Node) -> News:
    drained = node.state is State.DRAINING
    return News(
        "node left", node, "it was draining" if drained else "it stopped, or its session is over"
    )


def _changed(old: Node, new: Node, wish: Wish) -> Iterator[News]:
    if old.state is not new.state:
        yield _of_state(old, new, wish)
    if old.weight != new.weight:
        asked = "an operator's wish" if wish.weight is not None else "its own setting"
        yield News("node weight", new, f"{asked}: {new.weight} instead of {old.weight}")
    if (old.ws, old.tcp, old.capacity) != (new.ws, new.tcp, new.capacity):
        yield News("node moved", new, "it announces other addresses")


def _of_state(old: Node, new: Node, wish: Wish) -> News:
    match new.state, old.state:
        case State.READY, State.STANDBY:
            return News("node took over", new, "the process before it left or drains")
        case State.READY, State.DRAINING:
            return News("node ready", new, "it drains no longer")
        case State.READY, _:
            return News("node ready", new, "it has joined")
        case State.DRAINING, _:
            cause = "an operator's wish" if wish.is_draining else "it is stopping"
            return News("node draining", new, cause)
        case State.STANDBY, _:
            return News("node standby", new, "an older process of its name leads")
    return News(f"node {new.state.value}", new, f"it says so, after {old.state.value}")
