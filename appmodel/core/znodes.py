"""The cluster as it lies in ZooKeeper: which node is where, written and read.

    /gopush-cluster-comet/<name>               persistent: {"wish": {"state": "draining", "weight": 2}},
                                               or whatever else lies there
    /gopush-cluster-comet/<name>/0000000007    a process, ephemeral + sequence:
        {"rpc":["h:6970"],"tcp":["h:6969"],"ws":["h:6968"],"weight":1,
         "name":"c1","incarnation":1795280286000000000,"state":"ready","capacity":0}
    /gopush-cluster-message/0000000003         a message node, the same way; web nodes have a root of ours

Of the processes of one comet's name, the ready one with the smallest sequence leads and the others are
`standby`. What an operator wishes is laid over what the processes say of themselves, and ends with the
last of them, because their parent does.

Everything here may be written by strangers. What cannot be understood is left out, with a sentence
that says why; fields of other versions are ignored. The appmsgsrv form `tcp://h:p,ws://h:p,rpc://h:p`
is read too.

Source: spec/gopush.md section 4.1; name, incarnation, state, capacity and the wish are ours.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Annotated, Literal

import msgspec

from appmodel.core.cluster import Node, Role, State
from appmodel.errors import BadInput

MAX_DATA = 4096  # bytes of one node's data
MAX_WEIGHT = 100  # 25,500 points on the ring, 30 ms: a slip of the finger must not stop a process
MAX_RING = 2000  # weight of all comets: half a million points, a second
MAX_ADDRESSES = 16  # of one kind
MAX_NUMBER = 2**62  # of an incarnation or a capacity

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SEQUENCE = re.compile(r"[0-9]{10}")
_ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Roots:
    """Under which paths the nodes of each role lie."""

    comet: str = "/gopush-cluster-comet"
    message: str = "/gopush-cluster-message"
    web: str = "/gopush-cluster-web"

    def of(self, role: Role) -> str:
        """The root of a role."""
        return {Role.COMET: self.comet, Role.MESSAGE: self.message, Role.WEB: self.web}[role]

    def home(self, node: Node) -> str:
        """Under which path the processes of `node` register."""
        return f"{self.comet}/{node.name}" if node.role is Role.COMET else self.of(node.role)


DEFAULT_ROOTS = Roots()


@dataclass(frozen=True, slots=True)
class Znode:
    """One node of ZooKeeper's tree."""

    data: bytes = b""
    session: int = 0  # that it dies with; 0 = it stays
    turnover: int = 0  # how often a child came or went


Tree = Mapping[str, Znode]
"""What lies under the roots, by path; the roots themselves are not in it."""


class Wish(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an operator wants of a comet, whatever its processes say of themselves."""

    state: Literal["draining"] | None = None
    weight: Annotated[int, msgspec.Meta(ge=0, le=MAX_WEIGHT)] | None = None

    @property
    def is_draining(self) -> bool:
        """Whether the comet is to hand over its clients."""
        return self.state is not None


@dataclass(frozen=True, slots=True)
class Entry:
    """A process as it announces itself."""

    path: str
    session: int
    node: Node


@dataclass(frozen=True)
class Reading:
    """What could be understood of a tree, and what could not."""

    entries: tuple[Entry, ...] = ()  # by path: per comet in the order of their registration
    wishes: Mapping[str, Wish] = field(default_factory=dict)  # by the comet's name
    nonsense: Mapping[str, str] = field(default_factory=dict)  # by path: what is wrong there

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """All processes as the cluster sees them, by role, name and age."""
        by_name: dict[tuple[Role, str], list[Node]] = defaultdict(list)
        for entry in self.entries:
            by_name[entry.node.role, entry.node.name].append(entry.node)
        seen: list[Node] = []
        for role, name in sorted(by_name):
            nodes = by_name[role, name]
            if role is Role.COMET:
                nodes = _overlaid(_led(nodes), self.wishes.get(name, Wish()))
            seen += nodes
        return tuple(seen)


def read_tree(tree: Tree, roots: Roots = DEFAULT_ROOTS) -> Reading:
    """What `tree` says. Never raises, whatever lies there."""
    entries: list[Entry] = []
    wishes: dict[str, Wish] = {}
    nonsense: dict[str, str] = {}
    for path in sorted(tree):
        try:
            read = _read_znode(path, tree[path], roots)
        except BadInput as error:
            nonsense[path] = str(error)
            continue
        if isinstance(read, Entry):
            entries.append(read)
        elif read is not None:
            wishes[path.rpartition("/")[2]] = read
    kept = _on_ring(entries, wishes, nonsense)
    return Reading(tuple(kept), wishes, nonsense)


def encode_node(node: Node) -> bytes:
    """What a process writes of itself.

    Raises:
        BadInput: others would not understand it: a bad name or address, a number out of its range.
    """
    said = _Said(
        rpc=[node.rpc] if node.rpc else [],
        tcp=list(node.tcp),
        ws=list(node.ws),
        weight=node.weight,
        name=_checked_name("name", node.name),
        incarnation=node.incarnation,
        state=node.state,
        capacity=node.capacity,
    )
    data = msgspec.json.encode(said)
    _parse_node(node.role, node.name, data)
    return data


def encode_wish(wish: Wish) -> bytes:
    """What a comet's parent holds: nothing, if nothing is wished.

    Raises:
        BadInput: a weight out of its range.
    """
    if wish == Wish():
        return b""
    data = msgspec.json.encode({"wish": wish})
    _parse_wish(data)
    return data


class _Said(msgspec.Struct):
    """The JSON of a process. Go writes null for an empty list."""

    rpc: list[str] | None = None
    tcp: list[str] | None = None
    ws: list[str] | None = None
    weight: Annotated[int, msgspec.Meta(ge=0, le=MAX_WEIGHT)] = 1
    name: str | None = None
    incarnation: Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)] = 0
    state: State = State.READY
    capacity: Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)] = 0


class _Parent(msgspec.Struct):
    """The JSON of a comet's parent, as far as it is ours."""

    wish: msgspec.Raw = msgspec.Raw(b"null")


_decode_said = msgspec.json.Decoder(_Said).decode
_decode_parent = msgspec.json.Decoder(_Parent).decode
_decode_wish = msgspec.json.Decoder(Wish | None).decode
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def _led(nodes: list[Node]) -> list[Node]:
    """The processes of one comet: the first that is ready leads."""
    leader = next((node for node in nodes if node.state is State.READY), None)
    return [
        msgspec.structs.replace(node, state=State.STANDBY)
        if node.state is State.READY and node is not leader
        else node
        for node in nodes
    ]


def _overlaid(nodes: list[Node], wish: Wish) -> list[Node]:
    wished: dict[str, object] = {}
    if wish.weight is not None:
        wished["weight"] = wish.weight
    if wish.is_draining:
        wished["state"] = State.DRAINING
    return [msgspec.structs.replace(node, **wished) for node in nodes] if wished else nodes


def _on_ring(
    entries: list[Entry], wishes: Mapping[str, Wish], nonsense: dict[str, str]
) -> list[Entry]:
    """Without the comets, last by name, whose weight would make the ring too large to compute."""
    weights: dict[str, int] = {}
    for entry in entries:
        node = entry.node
        if node.role is Role.COMET:
            wished = wishes.get(node.name, Wish()).weight
            weight = node.weight if wished is None else wished
            weights[node.name] = max(weight, weights.get(node.name, 0))
    sums = dict(zip(weights, accumulate(weights.values()), strict=True))
    kept: list[Entry] = []
    for entry in entries:
        if entry.node.role is Role.COMET and sums[entry.node.name] > MAX_RING:
            nonsense[entry.path] = f"weight: all comets have more than {MAX_RING} with this one"
        else:
            kept.append(entry)
    return kept


def _read_znode(path: str, znode: Znode, roots: Roots) -> Entry | Wish | None:
    """Raises BadInput with what is wrong with it."""
    above, _, last = path.rpartition("/")
    if above == roots.comet:
        _checked_name("name", last)
        return _parse_wish(znode.data)
    role, name = Role.COMET, above.rpartition("/")[2]
    if above == roots.message:
        role, name = Role.MESSAGE, ""
    elif above == roots.web:
        role, name = Role.WEB, ""
    if not _SEQUENCE.fullmatch(last):
        raise BadInput("node", last, "a sequence of ten digits")
    if not znode.session:
        raise BadInput("node", last, "one that is ephemeral, or its death would not be seen")
    return Entry(path, znode.session, _parse_node(role, name or last, znode.data, bool(name)))


def _parse_node(role: Role, name: str, data: bytes, named: bool = False) -> Node:
    """`name`: of its parent if it is `named`, else for a process that does not say its own."""
    if len(data) > MAX_DATA:
        raise BadInput("data", f"{len(data)} bytes", f"at most {MAX_DATA}")
    said = _parse_said(data)
    if named and said.name not in (None, name):
        raise BadInput("name", said.name, f"that of its parent, {name!r}")
    rpc = _addresses("rpc", said.rpc)
    return Node(
        role=role,
        name=_checked_name("name", said.name if said.name is not None else name),
        incarnation=said.incarnation,
        weight=said.weight,
        state=said.state,
        rpc=rpc[0] if rpc else "",
        ws=_addresses("ws", said.ws),
        tcp=_addresses("tcp", said.tcp),
        capacity=said.capacity,
    )


def _parse_said(data: bytes) -> _Said:
    if data.lstrip()[:1] == b"{":
        try:
            return _decode_said(data)
        except _NOT_JSON as error:
            raise BadInput("data", data[:40], f"the JSON of a node ({error})") from None
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        raise BadInput("data", data[:40], "the JSON of a node") from None
    listed = _parse_list(text)
    return _Said(rpc=listed["rpc"], tcp=listed["tcp"], ws=listed["ws"])


def _parse_list(text: str) -> dict[str, list[str]]:
    """The form of appmsgsrv; a message node's addresses have no scheme."""
    found: dict[str, list[str]] = defaultdict(list)
    for item in text.split(","):
        scheme, mark, address = item.strip().rpartition("://")
        if (scheme or "rpc") not in ("rpc", "tcp", "ws") or (mark and not scheme) or not address:
            raise BadInput("data", text, 'the JSON of a node, or "tcp://h:p,ws://h:p,rpc://h:p"')
        found[scheme or "rpc"].append(address)
    return found


def _parse_wish(data: bytes) -> Wish | None:
    """None if there is none; what else lies there is not ours."""
    if len(data) > MAX_DATA:
        return None
    try:
        raw = _decode_parent(data).wish
    except _NOT_JSON:
        return None
    try:
        wish: Wish | None = _decode_wish(raw)
    except _NOT_JSON as error:
        expected = f'such as {{"state": "draining", "weight": 2}} ({error})'
        raise BadInput("wish", bytes(raw)[:40], expected) from None
    return wish


def _addresses(kind: str, texts: list[str] | None) -> tuple[str, ...]:
    if texts is not None and len(texts) > MAX_ADDRESSES:
        raise BadInput(kind, f"{len(texts)} addresses", f"at most {MAX_ADDRESSES}")
    for text in texts or ():
        match = _ADDRESS.fullmatch(text)
        if match is None or not 0 < int(match[1]) < 65536:
            raise BadInput(kind, text, "host:port")
    return tuple(texts or ())


def _checked_name(label: str, name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise BadInput(label, name, "1 to 64 letters, digits, dots, underscores and hyphens")
    return name
