"""Frames between nodes, and the handshake that comes before them.

    frame    length of the rest in 4 bytes, big-endian, then a msgpack array

    hello    [0, version, nonce]                both sides, first and at once
    proof    [1, mac]                           the client, and after a good one the server
    call     [2, id, method, ms, argument]      client: answer within so many milliseconds
    answer   [3, id, result]                    server, in any order
    error    [4, id, code, message]             server; the code is one of appmodel.errors
    ping     [5]                                both; the other answers
    pong     [6]                                both
    goaway   [7, reason]                        server: I finish what I have, send no more
    tunnel   [8, mac, purpose]                  a client's proof that wants no calls

    mac      HMAC-SHA256(cluster secret, "appmsg rpc 1 " + role + client's nonce + server's nonce + purpose)

Behind the proofs a tunnel carries something else, which both ends know by its purpose; in the mac of a
connection for calls the purpose is empty.

Each side proves that it knows the cluster secret; the secret itself is never sent. The server
proves nothing before the client has, and no call is read before both have. A proof holds for one
connection and one role only, so it cannot be repeated or mirrored. What it cannot do is to protect
the bytes from someone who sits in the middle: between hosts, run it inside a private network.

Source: ours. gopush-cluster speaks Go's gob to whoever connects (spec/gopush.md section 3.1, S2).
"""

import enum
import hashlib
import hmac
from typing import Annotated, TypeAlias, TypeVar

import msgspec

from appmodel.errors import RemoteProtocolError, TooLarge

VERSION = 1
NONCE = 32  # bytes
LENGTH = 4  # bytes in front of each frame
MAX_FRAME = 16 * 1024 * 1024  # bytes: 10,000 keys of 255 bytes take 3 MB
MAX_PURPOSE = 32  # characters
MAX_GREETING = 256  # bytes of a hello or a proof: strangers make us hold no more


class Role(enum.Enum):
    """Which side we are: the client calls, the server answers."""

    CLIENT = b"client"
    SERVER = b"server"


class Fault(enum.StrEnum):
    """How a peer broke the protocol."""

    VERSION = "version"
    SECRET = "secret"  # noqa: S105  the name of a fault
    GARBAGE = "garbage"
    HANGUP = "hangup"


class RpcProtocolError(RemoteProtocolError):
    """A peer broke the protocol: close its connection."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """Opens a connection. Later versions may add fields, never change the first two."""

    version: int
    nonce: Annotated[bytes, msgspec.Meta(min_length=NONCE, max_length=NONCE)] = bytes(NONCE)


class Proof(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """I know the cluster secret."""

    mac: bytes


class Call(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Do this, and answer under this id."""

    id: int
    method: str
    timeout_ms: Annotated[int, msgspec.Meta(ge=0)]  # what the caller will still wait
    argument: msgspec.Raw  # msgpack


class Answer(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The result of a call."""

    id: int
    result: msgspec.Raw  # msgpack


class Error(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """The refusal of a call."""

    id: int
    code: str
    message: str


class Ping(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """Are you there?"""


class Pong(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """I am."""


class GoAway(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """This server stops. Calls that it has are finished; a later one may be lost."""

    reason: str


class Tunnel(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """I know the cluster secret, and want this connection for something else than calls."""

    mac: bytes
    purpose: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_PURPOSE)]


Frame: TypeAlias = Hello | Proof | Call | Answer | Error | Ping | Pong | GoAway | Tunnel

# What may come next, by the side that we are: anything else cuts the connection.
_HELLO = msgspec.msgpack.Decoder(Hello)
_PROOFS: dict[Role, msgspec.msgpack.Decoder[Proof | Tunnel]] = {
    Role.SERVER: msgspec.msgpack.Decoder(Proof | Tunnel),
    Role.CLIENT: msgspec.msgpack.Decoder(Proof),
}
_OPEN: dict[Role, msgspec.msgpack.Decoder[Frame]] = {
    Role.SERVER: msgspec.msgpack.Decoder(Call | Ping | Pong),
    Role.CLIENT: msgspec.msgpack.Decoder(Answer | Error | Ping | Pong | GoAway),
}
_encode = msgspec.msgpack.Encoder().encode

T = TypeVar("T")


class Connection:
    """One side of a connection: feed it bytes, act on its frames, write `data_to_send()`.

    `nonce` is NONCE random bytes, new for each connection. `purpose`: of a client; a server learns it.
    """

    def __init__(
        self,
        role: Role,
        *,
        secret: bytes,
        nonce: bytes,
        max_frame: int = MAX_FRAME,
        purpose: str = "",
    ) -> None:
        self._role = role
        self.purpose = purpose
        self._secret = secret
        self._nonce = nonce
        self._max_frame = max_frame  # bytes, without the length
        self._nonces = b""  # of both sides, the client's first; known after the hello
        self._received = bytearray()
        self._due: list[bytes] = []
        self.owed = 0  # bytes that `data_to_send` would return
        self.is_open = False  # both sides have proved themselves
        self._write(Hello(VERSION, nonce))

    def send(self, frame: Call | Answer | Error | Ping | Pong | GoAway) -> None:
        """Queue a frame for the next `data_to_send()`.

        Raises:
            TooLarge: over the size limit; nothing was queued.
        """
        self._write(frame)

    def data_to_send(self) -> bytes:
        """Take all that is due: one write for all frames of a round."""
        data = self._due[0] if len(self._due) == 1 else b"".join(self._due)
        self._due.clear()
        self.owed = 0
        return data

    def receive_data(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes, without those of the handshake; b"" is the end.

        Call `data_to_send` after it: a hello is answered with a proof, a ping with a pong.

        Raises:
            RpcProtocolError: and nothing else, whatever the bytes. Then close.
        """
        if not data:
            return self._receive_end()
        self._received += data
        frames: list[Frame] = []
        start, size = 0, len(self._received)
        while size - start >= LENGTH:
            body = start + LENGTH
            end = body + self._checked_length(int.from_bytes(self._received[start:body], "big"))
            if end > size:
                break
            with memoryview(self._received) as view:
                frame = bytes(view[body:end])
            self._receive_frame(frame, frames)
            start = end
        del self._received[:start]
        return frames

    def _receive_end(self) -> list[Frame]:
        if self._received:
            where = f"{len(self._received)} bytes into a frame"
            raise RpcProtocolError(Fault.HANGUP, f"it hung up {where}")
        if not self.is_open:
            raise RpcProtocolError(
                Fault.HANGUP, "it hung up during the handshake; is rpc.secret the same there?"
            )
        return []

    def _checked_length(self, length: int) -> int:
        """Before anything of the frame is held."""
        limit = self._max_frame if self.is_open else MAX_GREETING
        if length > limit:
            text = f"a frame of {length} bytes, expected at most {limit}"
            raise RpcProtocolError(Fault.GARBAGE, text)
        return length

    def _receive_frame(self, data: bytes, frames: list[Frame]) -> None:
        if self.is_open:
            frame = _decoded(_OPEN[self._role], data)
            if type(frame) is Ping:
                self._write(Pong())
            frames.append(frame)
        elif self._nonces:
            self._receive_proof(_decoded(_PROOFS[self._role], data))
        else:
            self._receive_hello(_decoded(_HELLO, data))

    def _receive_hello(self, hello: Hello) -> None:
        if hello.version != VERSION:
            spoken = f"it speaks version {hello.version}, expected {VERSION}"
            raise RpcProtocolError(Fault.VERSION, spoken)
        ours_first = self._role is Role.CLIENT
        self._nonces = self._nonce + hello.nonce if ours_first else hello.nonce + self._nonce
        if self._role is Role.CLIENT:
            mac = self._mac(Role.CLIENT)
            self._write(Tunnel(mac, self.purpose) if self.purpose else Proof(mac))

    def _receive_proof(self, proof: Proof | Tunnel) -> None:
        theirs = Role.CLIENT if self._role is Role.SERVER else Role.SERVER
        if isinstance(proof, Tunnel):
            self.purpose = proof.purpose
        if not hmac.compare_digest(proof.mac, self._mac(theirs)):
            raise RpcProtocolError(
                Fault.SECRET, "its proof is wrong: rpc.secret must be the same on all nodes"
            )
        if self._role is Role.SERVER:
            self._write(Proof(self._mac(Role.SERVER)))
        self.is_open = True

    def _mac(self, role: Role) -> bytes:
        """What that side must prove."""
        purpose = self.purpose.encode()
        text = b"appmsg rpc %d %b" % (VERSION, role.value + self._nonces + purpose)
        return hmac.digest(self._secret, text, hashlib.sha256)

    def _write(self, frame: Frame) -> None:
        body = _encode(frame)
        if len(body) > self._max_frame:
            raise TooLarge(f"a frame of {len(body)} bytes, expected at most {self._max_frame}")
        self._due.append(len(body).to_bytes(LENGTH, "big") + body)
        self.owed += LENGTH + len(body)


def _decoded(decoder: msgspec.msgpack.Decoder[T], data: bytes) -> T:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        start = data[:16].hex(" ")
        text = f"not a frame that may come now: {start} ({error})"
        raise RpcProtocolError(Fault.GARBAGE, text) from None
