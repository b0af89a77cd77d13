r"""Socket.IO on the wire, as clients of 2.x (revision 4) and of 3.x and 4.x (revision 5) write it; sans-IO.

    0                           connect to the namespace /, of revision 5 maybe with an object: 0{"token":1}
    0/demo?uuid=u1,             connect to /demo; the query only of revision 4
    1/demo,                     disconnect
    2/demo,["say","hi"]         event
    2/demo,17["say","hi"]       event that asks for an acknowledgement
    3/demo,17["ok"]             acknowledgement 17
    4/demo,{"message":"no"}     error: any JSON; of revision 5 an object, and only for a refused connect
    52-["up",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]
                                event of which two parts follow, each a binary message of its own
    61-17[{"_placeholder":true,"num":0}]    an acknowledgement in the same way

Whoever reads gets `EVENT` and `ACK` with bytes where they belong; whoever writes them with bytes anywhere in
lists, tuples and dicts has them sent as attachments. So nobody else knows of types 5 and 6.

An event's name is a text or a number and not one of the words by which clients tell their application of
the connection. Half a surrogate pair (a text cut inside an emoji, which JavaScript sends without a thought)
becomes U+FFFD, as old browsers made of it.

Source: docs/socket.io-protocol/v4.md and v5-current.md of github.com/socketio/socket.io, and where those are
silent socket.io-parser 3.4 and 4.2, and url.parse in socket.io 2.x for the query.
"""

import enum
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from appmodel.errors import BadInput, RemoteProtocolError
from appmodel.protocol.http import first_values

ROOT = "/"  # the namespace that is not written
MAX_NUMBER = 2**53 - 1  # the largest id: Number.MAX_SAFE_INTEGER of JavaScript
MAX_DIGITS = 16  # of that
RESERVED = frozenset(
    {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
)


class SocketError(RemoteProtocolError):
    """The client broke Socket.IO: its transport ends. Or what is to be encoded cannot be."""


class PacketType(enum.IntEnum):
    """The first character of a packet. Types 5 and 6 are seen on the wire only."""

    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    ERROR = 4  # CONNECT_ERROR of revision 5
    BINARY_EVENT = 5
    BINARY_ACK = 6


class Packet(msgspec.Struct, frozen=True):
    """One packet. Of `data` see each type; None if there is none.

    CONNECT: a dict, the payload or else the query. EVENT: a list, the name first. ACK: a list.
    ERROR: any JSON value. `id`: of an event, if it asks for an acknowledgement; always of an ACK.
    """

    type: PacketType
    namespace: str = ROOT
    data: Any = None
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What one packet may be."""

    size: int = 1_000_000  # bytes: of its text and its attachments together
    attachments: int = 10  # as in socket.io-parser 4.2
    namespace: int = 256  # characters
    query: int = 4096  # characters: of a connect of revision 4, behind its namespace
    depth: int = 64  # lists and objects inside one another


class _Head(NamedTuple):
    """What stands before the JSON of a packet."""

    type: PacketType
    attachments: int
    namespace: str
    query: str  # of a connect
    id: int | None
    end: int  # where the JSON begins


# type, number of attachments, namespace, id: whatever comes behind is JSON
_HEAD = re.compile(r"([0-6])(?:([0-9]*)-)?(?:(/[^,]*)(?:,|\Z))?([0-9]*)")
_TYPES = {str(int(one)): one for one in PacketType}
_WIRE = "0123456"
_PLAIN = {PacketType.BINARY_EVENT: PacketType.EVENT, PacketType.BINARY_ACK: PacketType.ACK}
_BINARY = {plain: binary for binary, plain in _PLAIN.items()}
_HALF = re.compile(  # what is whole is group 1: an escaped backslash, a surrogate pair
    r"(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
_BYTES = (bytes, bytearray, memoryview)
_SCALARS = frozenset({str, int, float, bool, type(None)})

_decode_json = msgspec.json.Decoder().decode
_encode_json = msgspec.json.Encoder().encode


def encode(packet: Packet) -> list[str | bytes]:
    """The text of a packet, and its attachments in their order, each a message of its own.

    Raises:
        SocketError: JSON cannot carry it; a comma in the namespace; an attachment outside of an
            event or ACK, or beside an object that says it is a placeholder.
    """
    kind, data = packet.type, packet.data
    attachments: list[str | bytes] = []
    head = _WIRE[kind]
    try:
        if data is not None and _has_bytes(data):
            if kind not in _BINARY:
                raise SocketError(f"{kind.name}: got bytes, expected what JSON can carry")
            data = _detach(data, attachments)
            head = f"{_WIRE[_BINARY[kind]]}{len(attachments)}-"
        payload = "" if data is None else _encode_json(data).decode()
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise SocketError(f"{kind.name}: JSON cannot carry it: {error}") from None
    if packet.namespace != ROOT:
        if "," in packet.namespace:
            raise SocketError(f"namespace: got {packet.namespace[:40]!r}, expected no comma")
        head += packet.namespace + ","
    if packet.id is not None:
        head += str(packet.id)
    return [head + payload, *attachments]


class Decoder:
    """What the messages of one transport mean, packet by packet. Costs memory only while attachments miss.

    An incomplete packet is kept as it came, not parsed: never more than `Limits.size`.
    """

    __slots__ = ("_attachments", "_head", "_limits", "_size", "_text")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._head: _Head | None = None  # of the packet whose attachments are being collected
        self._text = ""
        self._attachments: list[bytes] = []
        self._size = 0  # bytes kept of it

    @property
    def idle(self) -> bool:
        """Between two packets: a new decoder would do as well."""
        return self._head is None

    def take(self, message: str | bytes) -> Packet | None:
        """The packet that `message` completes; None if attachments are still missing.

        Raises:
            SocketError: and nothing else, whatever comes. Then this decoder is of no more use.
        """
        if isinstance(message, str):
            return self._take_text(message)
        return self._take_attachment(message)

    def _take_text(self, text: str) -> Packet | None:
        if self._head is not None:
            raise SocketError(f"got {text[:20]!r}, expected an attachment")
        size = len(text) if text.isascii() else len(text.encode(errors="replace"))
        self._check_size(size)
        head = _parse_head(text, self._limits)
        if not head.attachments:
            return _parse(head, text, [], self._limits)
        self._head, self._text, self._size = head, text, size
        return None

    def _take_attachment(self, data: bytes) -> Packet | None:
        head, text, attachments = self._head, self._text, self._attachments
        if head is None:
            raise SocketError(f"got {len(data)} bytes, expected no attachment")
        self._check_size(self._size + len(data))
        self._size += len(data)
        attachments.append(data)
        if len(attachments) < head.attachments:
            return None
        self._head, self._text, self._attachments = None, "", []
        return _parse(head, text, attachments, self._limits)

    def _check_size(self, size: int) -> None:
        if size > self._limits.size:
            raise SocketError(f"packet: got {size} bytes, expected {self._limits.size} or less")


def _has_bytes(value: Any) -> bool:
    if type(value) in _SCALARS:  # nearly always
        return False
    if isinstance(value, dict):
        return any(map(_has_bytes, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_has_bytes, value))
    return isinstance(value, _BYTES)


def _detach(value: Any, attachments: list[str | bytes]) -> Any:
    """`value` with placeholders for its bytes, which go to `attachments`."""
    if isinstance(value, _BYTES):
        attachments.append(bytes(value))
        return {"_placeholder": True, "num": len(attachments) - 1}
    if isinstance(value, dict):
        if value.get("_placeholder") is True:  # the client would take it for one, and hang up
            raise SocketError("data: got an object with _placeholder beside attachments")
        return {key: _detach(one, attachments) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_detach(one, attachments) for one in value]
    return value


def _parse_head(text: str, limits: Limits) -> _Head:
    found = _HEAD.match(text)
    if found is None:
        raise SocketError(f"packet: got type {text[:1]!r}, expected 0 to 6")
    kind, attachments, namespace, number = found.groups()
    wire = _TYPES[kind]
    plain = _PLAIN.get(wire, wire)
    count = 0
    if wire is not plain:
        count = _number("attachments", attachments or "", limits.attachments)
    elif attachments is not None:
        raise SocketError(f"{wire.name}: got a number of attachments, expected none")
    query = ""
    if namespace is None:
        namespace = ROOT
    else:
        if plain is PacketType.CONNECT:
            namespace, _, query = namespace.partition("?")
        _check_length("namespace", namespace, limits.namespace)
        _check_length("query", query, limits.query)
    identity = _number("id", number, MAX_NUMBER) if number else None
    if identity is not None and plain not in _BINARY:
        raise SocketError(f"{plain.name}: got id {identity}, expected none")
    return _Head(plain, count, namespace, query, identity, found.end())


def _number(name: str, digits: str, limit: int) -> int:
    if not digits or len(digits) > MAX_DIGITS or int(digits) > limit:
        raise SocketError(f"{name}: got {digits[:20]!r}, expected a number up to {limit}")
    return int(digits)


def _check_length(name: str, text: str, limit: int) -> None:
    if len(text) > limit:
        raise SocketError(f"{name}: got {len(text)} characters, expected {limit} or less")


def _parse(head: _Head, text: str, attachments: list[bytes], limits: Limits) -> Packet:
    data = _parse_json(text[head.end :], limits) if len(text) > head.end else UNSET
    if attachments:
        unused = dict(enumerate(attachments))
        data = _attach(data, unused)
        if unused:
            raise SocketError(f"attachments: got {len(unused)} that no placeholder names")
    match head.type:
        case PacketType.EVENT:
            _check_event(data)
        case PacketType.ACK:
            if not isinstance(data, list) or head.id is None:
                raise SocketError("ACK: got no id or no list, expected both")
        case PacketType.CONNECT:
            data = _connect_data(data, head.query)
        case PacketType.DISCONNECT if data is not UNSET:
            raise SocketError("DISCONNECT: got data, expected none")
    return Packet(head.type, head.namespace, None if data is UNSET else data, head.id)


def _check_event(data: Any) -> None:
    if not isinstance(data, list) or not data:
        raise SocketError("EVENT: got no list or an empty one, expected a name and arguments")
    name = data[0]
    if isinstance(name, str):
        if name in RESERVED:
            raise SocketError(f"EVENT: got the name {name!r}, expected one that is not reserved")
    elif isinstance(name, bool) or not isinstance(name, (int, float)):
        raise SocketError(
            f"EVENT: got a name of type {type(name).__name__}, expected text or a number"
        )


def _connect_data(data: Any, query: str) -> Any:
    """The payload; without one, the query."""
    if data is not UNSET:
        if not isinstance(data, dict):
            raise SocketError(f"CONNECT: got {type(data).__name__}, expected an object")
        return data
    try:
        return first_values(query, "query") if query else UNSET
    except BadInput as error:
        raise SocketError(f"CONNECT: {error}") from None


def _parse_json(text: str, limits: Limits) -> Any:
    try:
        try:
            data = _decode_json(text)
        except ValueError:
            data = _decode_json(_HALF.sub(lambda found: found[1] or "\\ufffd", text))
    except (ValueError, RecursionError) as error:
        raise SocketError(f"payload: not JSON: {error}") from None
    if text.count("[") + text.count("{") > limits.depth:  # nearly never: a look is cheap
        _check_depth(data, limits.depth)
    return data


def _check_depth(data: Any, limit: int) -> None:
    """Level by level, not branch by branch: what is too deep must not be recursed into."""
    level = [data]
    for _ in range(limit):
        level = [
            child
            for one in level
            for child in (one.values() if isinstance(one, dict) else one)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise SocketError(f"payload: expected {limit} lists and objects inside one another or less")


def _attach(value: Any, unused: dict[int, bytes]) -> Any:
    """`value` with the attachments in place. Each is used once: many names of one could make a giant of it."""
    if isinstance(value, dict):
        if value.get("_placeholder") is not True:
            return {key: _attach(one, unused) for key, one in value.items()}
        number = value.get("num")
        if type(number) is not int or number not in unused:  # True is an int, too
            raise SocketError(f"placeholder: got num {str(number)[:20]!r}, expected an attachment")
        return unused.pop(number)
    if isinstance(value, list):
        return [_attach(one, unused) for one in value]
    return value
