"""Whatever lies in ZooKeeper, carrying out plans leads to what is announced."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.cluster import Node, Role, State
from appmodel.core.mending import Create, Delete, Plan, Rewrite, plan
from appmodel.core.znodes import DEFAULT_ROOTS, Znode, encode_node, read_tree

COMETS = DEFAULT_ROOTS.comet
OURS, THEIRS = 1, 2  # sessions
C1 = Node(Role.COMET, "c1", 7, rpc="h:1")
M1 = Node(Role.MESSAGE, "m1", 7, rpc="h:2")


class FakeTree(dict[str, Znode]):
    """Carries out steps as ZooKeeper would."""

    def plan(self, *announced: Node, session: int = OURS) -> Plan:
        return plan(read_tree(self), self, announced, session)

    def carry_out(self, steps: Plan, session: int = OURS) -> None:
        for step in (*steps.announce, *steps.tidy):
            match step:
                case Create(home, data):
                    self.setdefault(home, Znode())
                    above = self[home]
                    self[home] = Znode(above.data, above.session, above.turnover + 1)
                    self[f"{home}/{above.turnover:010}"] = Znode(data, session)
                case Rewrite(path, data):
                    self[path] = Znode(data, self[path].session)
                case Delete(path):
                    if not any(other.startswith(f"{path}/") for other in self):
                        del self[path]

    def settle(self, *announced: Node, session: int = OURS) -> int:
        """Rounds until nothing is left to do."""
        for rounds in range(10):
            steps = self.plan(*announced, session=session)
            if steps == Plan():
                return rounds
            self.carry_out(steps, session)
        raise AssertionError(f"it goes on for ever: {steps}")


def lying(node: Node, session: int, number: int = 0) -> dict[str, Znode]:
    """A node as its process wrote it."""
    home = DEFAULT_ROOTS.home(node)
    return {
        home: Znode(turnover=number + 1),
        f"{home}/{number:010}": Znode(encode_node(node), session),
    }


def test_a_node_is_announced_once() -> None:
    """In one round; and then there is nothing to do."""
    tree = FakeTree()

    assert tree.settle(C1, M1) == 1
    assert set(read_tree(tree).nodes) == {C1, M1}


def test_a_change_keeps_the_place_in_line() -> None:
    """Its sequence is its age: a process that drains or changes its weight does not go behind others."""
    tree = FakeTree(lying(C1, OURS))
    draining = msgspec.structs.replace(C1, state=State.DRAINING)

    steps = tree.plan(draining)

    assert steps.announce == (Rewrite(f"{COMETS}/c1/0000000000", encode_node(draining)),)


def test_what_is_withdrawn_goes_with_its_parent() -> None:
    """First the entry, then what it leaves empty."""
    tree = FakeTree(lying(C1, OURS))

    assert tree.settle() == 2
    assert not tree


def test_the_parent_of_others_stays() -> None:
    """Also while they are only about to register: then nobody was ever in it."""
    tree = FakeTree({**lying(C1, THEIRS), f"{COMETS}/c2": Znode()})

    assert tree.plan() == Plan()


def test_an_entry_of_a_dead_process_at_our_address_goes() -> None:
    """Nobody else can listen there."""
    before = msgspec.structs.replace(C1, incarnation=3)
    tree = FakeTree(lying(before, THEIRS))

    tree.settle(C1)

    assert read_tree(tree).nodes == (C1,)


def test_our_entry_of_an_earlier_session_goes() -> None:
    """It would make a standby of us, behind ourselves."""
    tree = FakeTree(lying(C1, THEIRS))

    tree.settle(C1)

    assert [znode.session for path, znode in tree.items() if path.count("/") == 3] == [OURS]


def test_a_process_elsewhere_stays() -> None:
    """It is the one before us in line; so is a younger one that claims our address."""
    other = msgspec.structs.replace(C1, incarnation=3, rpc="h:9")
    younger = msgspec.structs.replace(C1, incarnation=8)
    tree = FakeTree({**lying(other, THEIRS), **lying(younger, THEIRS, 1)})

    tree.settle(C1)

    states = {node.incarnation: node.state for node in read_tree(tree).nodes}
    assert states == {3: State.READY, 8: State.STANDBY, 7: State.STANDBY}


def test_two_processes_at_one_address_do_not_fight() -> None:
    """A wrong setting: the younger one removes the other once, and both stay from then on."""
    older, younger = C1, msgspec.structs.replace(C1, incarnation=8)
    tree = FakeTree()
    tree.settle(older, session=OURS)

    rounds = [tree.settle(younger, session=THEIRS), tree.settle(older, session=OURS)]

    assert rounds == [1, 1]
    assert tree.plan(younger, session=THEIRS) == Plan()
    assert tree.plan(older, session=OURS) == Plan()


datas = st.sampled_from([encode_node(C1), encode_node(M1), b"", b"nonsense"])
sessions = st.sampled_from([OURS, THEIRS, 0])
paths = st.sampled_from(
    [f"{COMETS}/c1/000000000{i}" for i in range(3)]
    + [f"{COMETS}/c2/0000000000", f"{DEFAULT_ROOTS.message}/0000000000"]
)


@given(
    st.dictionaries(paths, st.builds(Znode, datas, sessions)),
    st.booleans(),
    st.sets(st.sampled_from([C1, M1])),
)
def test_every_tree_is_mended(
    entries: dict[str, Znode], parents: bool, announced: set[Node]
) -> None:
    """Few rounds; each node is there exactly once; what is not ours stays."""
    tree = FakeTree(entries)
    for path in [path for path in entries if path.startswith(COMETS)]:
        tree[path.rpartition("/")[0]] = Znode(turnover=int(parents) + 3)
    theirs = {path for path, znode in entries.items() if znode.session != OURS}

    assert tree.settle(*announced) <= 3

    ours = [entry.node for entry in read_tree(tree).entries if entry.session == OURS]
    assert sorted(ours, key=str) == sorted(announced, key=str)
    stale = {path for path in theirs if path not in tree}
    assert all(entries[path].data in (encode_node(C1), encode_node(M1)) for path in stale)
