r"""Engine.IO on the wire, revisions 3 and 4, sans-IO: packets, payloads of polling, JSONP.

    packet      4hello                  a digit, then the data
                bAQID    b4AQID         bytes where only text goes: revision 4, revision 3
                01 02 03    04 01 02 03 a binary message of a WebSocket: revision 4, revision 3
    payload     4hello\x1ebAQID         of revision 4
                6:4hello6:b4AQID        of revision 3; a length counts UTF-16 units, as JavaScript does
                00 06 FF 34 68 65 6C 6C 6F 01 04 FF 04 01 02 03
                                        of revision 3 as bytes ("XHR2"): 0 text or 1 binary, the digits of a
                                        length in bytes, FF, the packet
    JSONP       ___eio[0]("6:4hello");  in an answer, of revision 3;  d=6%3A4hello  in a posted form

Only a message may be binary: no client sends another packet so, and none could be meant.
Everything that reads is stricter than the reference where that took what no client sends: a length
beyond the payload, half a surrogate pair, base64 without padding, text that is not UTF-8.

Source: docs/engine.io-protocol/v3.md and v4-current.md of github.com/socketio/socket.io, and where those
are silent engine.io-parser 2.2 and 5.2, polling-jsonp of engine.io 6 and engine.io-client 3.5.
"""

import binascii
import enum
import re
from base64 import b64encode
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from appmodel.errors import BadInput, RemoteProtocolError
from appmodel.protocol.http import first_values
from comet.protocol.websocket import BINARY, TEXT, frame

SEPARATOR = "\x1e"  # between the packets of a payload of revision 4
MAX_DIGITS = 10  # of a length, or of the index of a JSONP callback


class EngineError(RemoteProtocolError):
    """The client broke Engine.IO: its session ends."""


class PacketType(enum.IntEnum):
    """The first character of a packet."""

    OPEN = 0
    CLOSE = 1
    PING = 2
    PONG = 3
    MESSAGE = 4
    UPGRADE = 5
    NOOP = 6


class Packet(NamedTuple):
    """`data` is text, empty if there is none; bytes only in a message."""

    type: PacketType
    data: str | bytes = ""


class Framing(enum.Enum):
    """In which bytes a packet goes to the client: the revision, and whether it polls."""

    WEBSOCKET_3 = (3, False)
    WEBSOCKET_4 = (4, False)
    POLLING_3 = (3, True)  # pieces of a payload, joined as they are
    POLLING_4 = (4, True)  # each ends with \x1e; whoever answers a poll takes off the last one

    def __init__(self, revision: int, polling: bool) -> None:
        self.revision = revision
        self.polling = polling


_DIGITS = "0123456"
_TYPES = dict(zip(_DIGITS, PacketType, strict=True))
_BINARY_3 = bytes((PacketType.MESSAGE,))  # the first byte of a binary message of revision 3
_ESCAPED_LINE = re.compile(r"(\\)?\\n")


def framed(framing: Framing, message: str | bytes) -> bytes:
    """One message in that framing."""
    return framed_packet(framing, Packet(PacketType.MESSAGE, message))


def framed_packet(framing: Framing, packet: Packet) -> bytes:
    """One packet in that framing."""
    revision, data = framing.revision, packet.data
    if isinstance(data, bytes) and not framing.polling:
        return frame(BINARY, data if revision == 4 else _BINARY_3 + data)
    text = encode_text(packet, revision)
    if not framing.polling:
        return frame(TEXT, text.encode())
    if revision == 4:
        return (text + SEPARATOR).encode()
    return f"{_utf16_units(text)}:{text}".encode()


def encode_text(packet: Packet, revision: int) -> str:
    """The packet as text; bytes become base64."""
    if isinstance(packet.data, str):
        return _DIGITS[packet.type] + packet.data
    return ("b4" if revision == 3 else "b") + b64encode(packet.data).decode()


def decode_text(text: str, revision: int) -> Packet:
    """A packet that came as text. Raises EngineError and nothing else."""
    found = _TYPES.get(text[:1])
    if found is not None:
        return Packet(found, text[1:])
    if not text.startswith("b"):
        raise EngineError(
            f"packet: got {text[:20]!r}, expected a digit from 0 to 6, or b and base64"
        )
    if revision == 4:
        return Packet(PacketType.MESSAGE, _from_base64(text[1:]))
    if text[1:2] != "4":
        raise EngineError(f"binary packet: got type {text[1:2]!r}, expected a message, 4")
    return Packet(PacketType.MESSAGE, _from_base64(text[2:]))


def decode_binary(data: bytes, revision: int) -> Packet:
    """A binary message of a WebSocket. Raises EngineError and nothing else."""
    if revision == 4:
        return Packet(PacketType.MESSAGE, data)
    if not data.startswith(_BINARY_3):
        raise EngineError(f"binary packet: got first byte {data[:1]!r}, expected 4, a message")
    return Packet(PacketType.MESSAGE, data[1:])


def encode_payload(packets: Iterable[Packet], revision: int) -> bytes:
    """What answers a poll, or is posted; bytes go as base64, which every client reads."""
    if revision == 4:
        return SEPARATOR.join(encode_text(packet, 4) for packet in packets).encode()
    pieces = [framed_packet(Framing.POLLING_3, packet) for packet in packets]
    return b"".join(pieces) or b"0:"


def decode_payload(body: bytes, revision: int, *, limit: int, binary: bool = False) -> list[Packet]:
    """The packets of a body, at least one unless they are empty (`0:`).

    `limit`: packets; more are refused before any is read. `binary`: it was posted as
    application/octet-stream, which only revision 3 has.

    Raises:
        EngineError: and nothing else, whatever the bytes; then none of them counts.
    """
    if revision == 4:
        if binary:
            raise EngineError("payload: got application/octet-stream, expected text: revision 4")
        return [decode_text(text, 4) for text in _split_4(_utf8(body), limit)]
    pieces = _split_binary(body, limit) if binary else _split_3(_utf8(body), limit)
    return [
        decode_text(piece, 3) if isinstance(piece, str) else decode_binary(piece, 3)
        for piece in pieces
        if piece
    ]


def xhr2(payload: bytes) -> bytes | None:
    """A payload of ours of revision 3 as bytes; None if it has no binary message, and stays text.

    For clients that did not ask for base64 (`b64=1`, or JSONP): a third less to send.
    """
    if b":b4" not in payload:
        return None
    packets = decode_payload(payload, 3, limit=len(payload))
    if not any(isinstance(packet.data, bytes) for packet in packets):
        return None
    return b"".join(map(_framed_binary, packets))


def jsonp(index: str, payload: bytes) -> bytes:
    """The answer to a poll whose parameter `j` is `index`: JavaScript that calls the client.

    U+2028 and U+2029 end a line in JavaScript before ES2019, so they may not stand in a literal.

    Raises:
        EngineError: `index` is not a number.
    """
    if not _is_number(index):
        raise EngineError(f"j: got {index[:20]!r}, expected the number of a callback")
    text = msgspec.json.encode(payload.decode()).decode()
    text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return f"___eio[{index}]({text});".encode()


def form_payload(body: bytes) -> bytes:
    r"""The payload in the form that a JSONP client posts.

    Browsers change line ends in forms, so the client writes LF as \n and \n as \\n; this undoes it.

    Raises:
        EngineError: no field `d`, or not a form.
    """
    try:
        payload = first_values(_utf8(body), "form")["d"]
    except KeyError:
        raise EngineError("form: expected a field d with the payload") from None
    except BadInput as error:
        raise EngineError(str(error)) from None
    return _ESCAPED_LINE.sub(lambda found: "\\n" if found[1] else "\n", payload).encode()


def _split_4(text: str, limit: int) -> list[str]:
    if text.count(SEPARATOR) >= limit:
        raise _too_many(limit)
    return text.split(SEPARATOR)


def _split_3(text: str, limit: int) -> list[str]:
    units = text.encode("utf-16-le")  # two bytes each
    pieces: list[str] = []
    at = unit = 0  # the same place: in characters, in units
    while at < len(text) or not pieces:
        if len(pieces) == limit:
            raise _too_many(limit)
        colon = text.find(":", at, at + MAX_DIGITS + 1)
        digits = text[at:colon]
        if colon < 0 or not _is_number(digits):
            raise EngineError(f"payload: got {text[at : at + 20]!r}, expected a length and a colon")
        unit += len(digits) + 1
        end = unit + int(digits)
        if 2 * end > len(units):
            raise EngineError(
                f"payload: got a length of {int(digits)}, expected no more than comes"
            )
        try:
            piece = units[2 * unit : 2 * end].decode("utf-16-le")
        except UnicodeDecodeError:
            raise EngineError("payload: a length ends inside a character") from None
        pieces.append(piece)
        at, unit = colon + 1 + len(piece), end
    return pieces


def _split_binary(body: bytes, limit: int) -> list[str | bytes]:
    pieces: list[str | bytes] = []
    at = 0
    while at < len(body) or not pieces:
        if len(pieces) == limit:
            raise _too_many(limit)
        colon = body.find(0xFF, at, at + MAX_DIGITS + 2)
        kind, digits = body[at : at + 1], body[at + 1 : colon]
        if colon < 0 or kind not in {b"\0", b"\1"} or not digits or max(digits) > 9:
            raise EngineError(
                f"payload: got {body[at : at + 12]!r}, expected 0 or 1, digits and FF"
            )
        start = colon + 1
        at = start + int("".join(map(str, digits)))
        if at > len(body):
            raise EngineError(f"payload: got a length of {at - start}, expected no more than comes")
        piece = body[start:at]
        pieces.append(piece if kind == b"\1" else _utf8(piece))
    return pieces


def _framed_binary(packet: Packet) -> bytes:
    if isinstance(packet.data, bytes):
        kind, piece = 1, _BINARY_3 + packet.data
    else:
        kind, piece = 0, encode_text(packet, 3).encode()
    return bytes((kind, *map(int, str(len(piece))), 0xFF)) + piece


def _utf16_units(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise EngineError(f"payload: not UTF-8 at byte {error.start}") from None


def _from_base64(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise EngineError(f"binary packet: not base64: {error}") from None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS


def _too_many(limit: int) -> EngineError:
    return EngineError(f"payload: got more packets than {limit}, expected at most that many")
