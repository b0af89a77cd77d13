"""What lies in ZooKeeper is read as it was written, and nonsense is left out with a reason."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.cluster import Node, Role, State
from appmodel.core.znodes import (
    DEFAULT_ROOTS,
    MAX_DATA,
    MAX_RING,
    MAX_WEIGHT,
    Wish,
    Znode,
    encode_node,
    encode_wish,
    read_tree,
)
from appmodel.errors import BadInput

COMETS = DEFAULT_ROOTS.comet
MESSAGES = DEFAULT_ROOTS.message
OURS = b"""{"rpc":["h:6970"],"tcp":["h:6969"],"ws":["h:6968"],"weight":2,
            "name":"c1","incarnation":7,"state":"ready","capacity":0}"""
OF_GOPUSH = b'{"rpc":["10.0.0.1:6970"],"tcp":null,"ws":["10.0.0.1:6968"],"weight":1}'
OF_APPMSGSRV = b"tcp://10.0.0.1:6969,ws://10.0.0.1:6968,rpc://10.0.0.1:6970,ws://[::1]:7968"

names = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
addresses = st.from_regex(r"[a-z0-9.-]{1,20}:[1-9][0-9]{0,3}", fullmatch=True)
nodes = st.builds(
    Node,
    role=st.sampled_from(Role),
    name=names,
    incarnation=st.integers(0, 2**62),
    weight=st.integers(0, MAX_WEIGHT),
    state=st.sampled_from(State),
    rpc=addresses | st.just(""),
    ws=st.lists(addresses, max_size=3).map(tuple),
    tcp=st.lists(addresses, max_size=3).map(tuple),
    capacity=st.integers(0, 2**62),
)


def process(data: bytes, session: int = 1) -> Znode:
    """An entry as its process made it."""
    return Znode(data, session)


def comet(number: int, state: State = State.READY) -> Znode:
    """A process of the comet c1; its incarnation is its number."""
    return process(encode_node(Node(Role.COMET, "c1", number, 1, state, rpc=f"h:{number}")))


@given(nodes)
def test_what_is_written_is_read(node: Node) -> None:
    """Every field of every node that can be announced arrives."""
    path = f"{DEFAULT_ROOTS.home(node)}/0000000000"

    reading = read_tree({path: process(encode_node(node))})

    assert [entry.node for entry in reading.entries] == [node]
    assert not reading.nonsense


paths = st.sampled_from([COMETS, MESSAGES, DEFAULT_ROOTS.web, f"{COMETS}/c1", "/elsewhere", ""])
leaves = st.sampled_from(["c1", "0000000001", "\0", "", "a/b", "ü" * 80]) | st.text(max_size=80)
shapes = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
fields = st.sampled_from(
    ["rpc", "tcp", "ws", "weight", "name", "incarnation", "state", "wish", "zone"]
)
datas = (
    st.binary(max_size=200)
    | st.sampled_from([OURS, OF_GOPUSH, OF_APPMSGSRV, b"[" * 2000, b"{" * 5000, b"\xff\xfe{}"])
    | st.dictionaries(fields, shapes).map(lambda it: msgspec.json.encode(it))
    | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
trees = st.dictionaries(
    st.builds("{}/{}".format, paths, leaves),
    st.builds(Znode, datas, st.integers(0, 2), st.integers(0, 2)),
)


@given(trees)
def test_no_tree_can_do_harm(tree: dict[str, Znode]) -> None:
    """Arbitrary bytes under arbitrary names: never an error, and each node read could be announced."""
    reading = read_tree(tree)

    for node in reading.nodes:
        encode_node(node)
    assert reading.nonsense.keys() <= tree.keys()
    assert all(len(why) < 400 for why in reading.nonsense.values())


@pytest.mark.parametrize("data", [OF_GOPUSH, OF_APPMSGSRV])
def test_nodes_of_the_originals_are_read(data: bytes) -> None:
    """JSON without our fields, and the comma list of the fork."""
    reading = read_tree({f"{COMETS}/node1/0000000000": process(data)})

    (node,) = reading.nodes
    assert (node.role, node.name, node.state) == (Role.COMET, "node1", State.READY)
    assert node.rpc == "10.0.0.1:6970"
    assert node.ws[0] == "10.0.0.1:6968"


@pytest.mark.parametrize("data", [b'{"rpc":["h:8070"],"weight":1}', b"h:8070,i:8070"])
def test_a_message_node_of_the_originals_is_known_by_its_sequence(data: bytes) -> None:
    """It says no name."""
    reading = read_tree({f"{MESSAGES}/0000000003": process(data)})

    assert reading.nodes == (Node(Role.MESSAGE, "0000000003", rpc="h:8070"),)


def test_what_other_versions_add_is_ignored() -> None:
    """A newer node may say more."""
    data = OURS.replace(b'{"rpc"', b'{"zone":{"a":[1]},"rpc"')

    (node,) = read_tree({f"{COMETS}/c1/0000000000": process(data)}).nodes

    assert (node.weight, node.incarnation) == (2, 7)


@pytest.mark.parametrize(
    ("path", "data", "why"),
    [
        ("c1/0000000000", b"", "the JSON of a node"),
        ("c1/0000000000", b"\xff\x00", "the JSON of a node"),
        ("c1/0000000000", b'{"weight":', "the JSON of a node"),
        ("c1/0000000000", b'{"zone":' + b"[" * 4000, "the JSON of a node"),
        ("c1/0000000000", b'{"name":"\xff"}', "the JSON of a node"),
        ("c1/0000000000", b'{"weight":"2"}', "weight"),
        ("c1/0000000000", b'{"weight":101}', "weight"),
        ("c1/0000000000", b'{"state":"asleep"}', "state"),
        ("c1/0000000000", b'{"incarnation":99999999999999999999999}', "incarnation"),
        ("c1/0000000000", b'{"name":"c2"}', "that of its parent, 'c1'"),
        ("c1/0000000000", b'{"rpc":["nowhere"]}', "rpc: got 'nowhere', expected host:port"),
        ("c1/0000000000", b'{"ws":["h:0"]}', "host:port"),
        ("c1/0000000000", b'{"ws":["h:65536"]}', "host:port"),
        ("c1/0000000000", b'{"tcp":["a\\nb:1"]}', "host:port"),
        ("c1/0000000000", b'{"tcp":[' + b'"h:1",' * 16 + b'"h:1"]}', "at most 16"),
        ("c1/0000000000", b'{"name":"c1"}' + b" " * MAX_DATA, "at most 4096"),
        ("c1/0000000000", b"http://h:1", "tcp://h:p"),
        ("c1/0000000000", b"://h:1", "tcp://h:p"),
        ("c1/lock", OURS, "a sequence of ten digits"),
        ("c1/0000000000x", OURS, "a sequence of ten digits"),
        ("c 1", b"", "letters, digits"),
        ("x" * 65, b"", "letters, digits"),
        ("c1", b'{"wish":{"weight":-1}}', "wish"),
        ("c1", b'{"wish":{"state":"gone"}}', "wish"),
        ("c1", b'{"wish":7}', "wish"),
    ],
)
def test_nonsense_is_left_out_with_a_reason(path: str, data: bytes, why: str) -> None:
    """What is wrong is said, and the nodes beside it are there."""
    reading = read_tree(
        {f"{COMETS}/{path}": process(data), f"{COMETS}/c1/0000000009": process(OURS)}
    )

    assert [node.name for node in reading.nodes] == ["c1"]
    assert why in reading.nonsense[f"{COMETS}/{path}"]


@pytest.mark.parametrize("wish", [b"", b'{"wish": {"weight": 100}}'])
def test_comets_too_heavy_for_a_ring_are_left_out(wish: bytes) -> None:
    """A ring of thousands of comets would be computed for minutes; the first by name are on it."""
    data = OURS.replace(b'"weight":2', b'"weight":1' if wish else b'"weight":100')
    tree = {f"{COMETS}/c{number:04}": Znode(wish) for number in range(1000)}
    tree |= {
        f"{COMETS}/c{number:04}/0000000000": process(data.replace(b"c1", b"c%04d" % number))
        for number in range(1000)
    }

    reading = read_tree(tree)

    assert [node.name for node in reading.nodes] == [f"c{number:04}" for number in range(20)]
    assert sum(node.weight for node in reading.nodes) == MAX_RING
    assert str(MAX_RING) in reading.nonsense[f"{COMETS}/c0020/0000000000"]


def test_a_node_that_would_never_die_is_none() -> None:
    """A copy that somebody restored from a backup is not ephemeral."""
    reading = read_tree({f"{COMETS}/c1/0000000000": Znode(OURS, session=0)})

    assert not reading.nodes
    assert "ephemeral" in reading.nonsense[f"{COMETS}/c1/0000000000"]


def test_the_first_ready_process_of_a_name_leads() -> None:
    """The others stand by; who is not ready neither leads nor stands in the way."""
    tree = {
        f"{COMETS}/c1/0000000010": comet(10),
        f"{COMETS}/c1/0000000009": comet(9),
        f"{COMETS}/c1/0000000011": comet(11, State.JOINING),
        f"{COMETS}/c1/0000000008": comet(8, State.DRAINING),
    }

    states = {node.incarnation: node.state for node in read_tree(tree).nodes}

    assert states == {
        8: State.DRAINING,
        9: State.READY,
        10: State.STANDBY,
        11: State.JOINING,
    }


def test_message_nodes_of_one_name_all_take_calls() -> None:
    """Their keys are shared anyhow: there is nobody to stand by for."""
    node = Node(Role.MESSAGE, "m", rpc="h:1")
    tree = {f"{MESSAGES}/000000000{i}": process(encode_node(node)) for i in range(2)}

    assert read_tree(tree).nodes == (node, node)


def test_a_wish_is_laid_over_all_processes_of_a_comet() -> None:
    """Whatever they say of themselves."""
    tree = {
        f"{COMETS}/c1": Znode(encode_wish(Wish(state="draining", weight=5))),
        f"{COMETS}/c1/0000000001": comet(1),
        f"{COMETS}/c1/0000000002": comet(2),
    }

    reading = read_tree(tree)

    assert {(node.state, node.weight) for node in reading.nodes} == {(State.DRAINING, 5)}
    assert reading.wishes == {"c1": Wish("draining", 5)}


@pytest.mark.parametrize(
    "data", [b"", OF_GOPUSH, OF_APPMSGSRV, b"\xff", b"[]", b'{"wish":null}', b" " * MAX_DATA * 2]
)
def test_what_else_lies_in_a_parent_is_not_ours(data: bytes) -> None:
    """A web node of the original writes the leader's address there."""
    tree = {f"{COMETS}/c1": Znode(data), f"{COMETS}/c1/0000000001": comet(1)}

    reading = read_tree(tree)

    assert reading.nodes[0].state is State.READY
    assert not reading.wishes
    assert not reading.nonsense


@given(st.builds(Wish, st.none() | st.just("draining"), st.none() | st.integers(0, MAX_WEIGHT)))
def test_a_wish_that_is_written_is_read(wish: Wish) -> None:
    """The empty one is no wish."""
    reading = read_tree({f"{COMETS}/c1": Znode(encode_wish(wish))})

    assert reading.wishes.get("c1", Wish()) == wish


@pytest.mark.parametrize(
    "node",
    [
        Node(Role.COMET, "a/b"),
        Node(Role.COMET, ""),
        Node(Role.COMET, "c1", weight=-1),
        Node(Role.COMET, "c1", weight=MAX_WEIGHT + 1),
        Node(Role.COMET, "c1", rpc="h"),
        Node(Role.COMET, "c1", ws=("h:1",) * 17),
        Node(Role.COMET, "c1", incarnation=2**63),
    ],
)
def test_what_others_would_not_understand_is_not_announced(node: Node) -> None:
    """It is refused where it comes from."""
    with pytest.raises(BadInput):
        encode_node(node)


def test_a_wish_out_of_range_is_refused() -> None:
    """Before it is written."""
    with pytest.raises(BadInput, match="wish"):
        encode_wish(Wish(weight=MAX_WEIGHT + 1))
