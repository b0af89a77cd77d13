"""What has to be done in ZooKeeper, so that it says what this process announces.

    plan(reading of the tree, the tree, announced nodes, our session) -> what to create, set, delete

The tree is compared with what should be there, whatever happened before: a lost session, a create that
came through after its caller had given up, a stranger's hand. So there is one rule for all failures, and
doing a plan again is harmless.

A process that registers at the address of an older entry of its name removes that entry: it listens
there itself, so nobody else can be alive at it.

Whoever sees a comet's parent whose last process has gone deletes it (the original leaves it on the ring
for ever: spec/gopush.md C5). One that never had a process is of somebody who is just starting.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from appmodel.core.cluster import Node, Role
from appmodel.core.znodes import DEFAULT_ROOTS, Entry, Reading, Roots, Tree, encode_node


@dataclass(frozen=True, slots=True)
class Create:
    """A new entry, ephemeral and with the next sequence, under `home` (which may be missing)."""

    home: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Other data at `path`."""

    path: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Delete:
    """Nothing any more at `path`, unless something lies below."""

    path: str


Step = Create | Rewrite | Delete


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do. All is as announced when `announce` is empty."""

    announce: tuple[Step, ...] = ()
    tidy: tuple[Delete, ...] = ()  # what others may do just as well, or forbid


def plan(
    reading: Reading,
    tree: Tree,
    announced: Iterable[Node],
    session: int,
    roots: Roots = DEFAULT_ROOTS,
) -> Plan:
    """The steps from `tree`, of which `reading` is the reading, to what is announced.

    Args:
        announced: of this process: at most one of each role and name.
        session: ours; what dies with it is ours.

    Raises:
        BadInput: a node cannot be announced as it is; see `encode_node`.
    """
    said = {entry.path: entry.node for entry in reading.entries}
    left = {path for path, znode in tree.items() if znode.session == session}
    steps: list[Step] = []
    homes: set[str] = set()
    for node in announced:
        home, data = roots.home(node), encode_node(node)
        homes.add(home)
        ours = sorted(path for path in left if _is_entry_of(node, home, path, said.get(path)))
        if not ours:
            stale = [
                e.path for e in reading.entries if e.path not in left and _is_stale(e.node, node)
            ]
            steps += [*map(Delete, stale), Create(home, data)]
            continue
        left.discard(ours[0])
        if tree[ours[0]].data != data:
            steps.append(Rewrite(ours[0], data))
    steps += [Delete(path) for path in sorted(left)]
    empty = (path for path in _deserted(tree, roots) if path not in homes)
    return Plan(tuple(steps), tuple(Delete(path) for path in empty))


def doubles(reading: Reading, announced: Iterable[Node]) -> Iterator[Entry]:
    """Processes that live at an address of ours: an operator has given it to two of them.

    Ask when all is as announced: until then, who was here before may still be in the tree.
    """
    ours = {(node.role, node.rpc): node for node in announced if node.rpc}
    for entry in reading.entries:
        node = ours.get((entry.node.role, entry.node.rpc))
        if node is not None and not entry.node.is_same_process(node):
            yield entry


def _is_entry_of(node: Node, home: str, path: str, said: Node | None) -> bool:
    """Whether the entry of ours at `path` is that of `node`, even if it holds nonsense now."""
    if path.rpartition("/")[0] != home:
        return False
    return node.role is Role.COMET or (said is not None and said.name == node.name)


def _is_stale(known: Node, node: Node) -> bool:
    """Whether `known` is of a dead process: this one in an earlier session, or before it here."""
    if (known.role, known.name) != (node.role, node.name):
        return False
    if known.incarnation == node.incarnation:
        return node.incarnation != 0
    return known.incarnation < node.incarnation and known.rpc == node.rpc != ""


def _deserted(tree: Tree, roots: Roots) -> Iterator[str]:
    """Parents of comets whose processes have all gone."""
    inhabited = {path.rpartition("/")[0] for path in tree}
    for path in sorted(tree):
        is_parent = path.rpartition("/")[0] == roots.comet and not tree[path].session
        if is_parent and tree[path].turnover and path not in inhabited:
            yield path
