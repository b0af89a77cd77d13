"""The few WebSocket bytes that a load generator needs: it makes frames, it does not parse a stream.

    81 <length> payload                      from a server
    81 <80 | length> 00 00 00 00 payload     from a client: a mask of zeros leaves the payload as it is

Source: RFC 6455 sections 1.3 and 5.2.
"""

import base64
import hashlib

CLIENT_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # any 16 bytes will do
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def upgrade_request(port: int, target: str) -> bytes:
    """The opening handshake of a client."""
    return (
        f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {CLIENT_KEY.decode()}\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def upgrade_answer(key: bytes) -> bytes:
    """The server's half of it."""
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
    )


def server_frame(payload: bytes) -> bytes:
    """A whole text message, unmasked; up to 65,535 bytes."""
    return _head(len(payload), 0) + payload


def client_frame(payload: bytes) -> bytes:
    """A whole text message under a mask of zeros; up to 65,535 bytes."""
    return _head(len(payload), 0x80) + bytes(4) + payload


def frame_size(head: bytes) -> int:
    """Bytes of the unmasked frame that starts here, its head included."""
    length = head[1]
    if length < 126:
        return 2 + length
    if length == 126:
        return 4 + int.from_bytes(head[2:4], "big")
    return 10 + int.from_bytes(head[2:10], "big")


def _head(length: int, mask: int) -> bytes:
    if length < 126:
        return bytes((0x81, mask | length))
    return bytes((0x81, mask | 126)) + length.to_bytes(2, "big")
