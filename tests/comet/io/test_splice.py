"""Two sockets made one behave as one connection: every byte, the brake, and the end."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import trio
from trio.testing import MockClock

from appmodel.core.clock import MessageClock
from comet.config import LiveConfig
from comet.core.admission import Gate, Limits
from comet.core.hub import Hub
from comet.core.wheel import Wheel
from comet.io.line import READ
from comet.io.live import Live
from comet.io.poller import Poller
from comet.io.splice import SpliceEnd

LIMITS = Limits(
    connections=9, per_address=9, per_key=9, sessions_per_user=9, handshakes_per_second=9
)
ROUNDS = 200  # looks of the poller after which nothing more will happen by itself


@dataclass
class Joint:
    """A client and a comet at the outer ends; the poller is turned by hand."""

    live: Live
    client: socket.socket
    home: socket.socket
    near: SpliceEnd
    far: SpliceEnd
    closed: list[SpliceEnd]

    def turn(self, rounds: int = ROUNDS) -> None:
        """Let the poller serve what there is."""
        for _ in range(rounds):
            self.live.poller._serve_batch()


@contextmanager
def joined() -> Iterator[Joint]:
    """Two socket pairs, spliced in the middle."""
    live = Live(
        config=LiveConfig(),
        hub=Hub(),
        poller=Poller(),
        wheel=Wheel(now=trio.current_time()),
        gate=Gate(LIMITS),
        clock=MessageClock(),
    )
    (client, ours), (theirs, home) = socket.socketpair(), socket.socketpair()
    closed: list[SpliceEnd] = []
    for sock in (client, ours, theirs, home):
        sock.setblocking(False)
    near, far = (SpliceEnd(sock, live, closed.append) for sock in (ours, theirs))
    near.join(far)
    with client, home:
        yield Joint(live, client, home, near, far, closed)
        live.poller.close()


def send_until_stuck(joint: Joint, sender: socket.socket) -> int:
    """Say as much as is taken while nobody reads at the other end; how much that was."""
    sent = 0
    while True:
        try:
            sent += sender.send(bytes(READ))
        except BlockingIOError:
            joint.turn()
            try:
                sent += sender.send(bytes(READ))
            except BlockingIOError:
                return sent


def receive(joint: Joint, receiver: socket.socket) -> int:
    """Read all that comes; how much that was."""
    received = 0
    while True:
        joint.turn(1)
        try:
            data = receiver.recv(64 * READ)
        except BlockingIOError:
            joint.turn()
            try:
                data = receiver.recv(64 * READ)
            except BlockingIOError:
                return received
        if not data:
            return received
        received += len(data)


async def test_who_is_not_read_must_wait_and_nothing_piles_up_between() -> None:
    """In both directions at once: what lies between is what one read brings."""
    with joined() as joint:
        up = send_until_stuck(joint, joint.client)
        down = send_until_stuck(joint, joint.home)

        assert len(joint.near.owed) <= 2 * READ
        assert len(joint.far.owed) <= 2 * READ
        assert (receive(joint, joint.home), receive(joint, joint.client)) == (up, down)
        assert joint.near.owed == joint.far.owed == b""


async def test_the_end_of_one_is_the_end_of_the_other_behind_all_it_said() -> None:
    """What was on its way arrives first."""
    with joined() as joint:
        sent = send_until_stuck(joint, joint.home)
        joint.home.close()

        assert receive(joint, joint.client) == sent

        assert joint.client.recv(1) == b""
        joint.client.close()
        joint.turn()
        assert set(joint.closed) == {joint.near, joint.far}
        assert len(joint.live.poller) == 0


async def test_a_client_that_does_not_end_is_dropped_after_a_while(
    autojump_clock: MockClock,
) -> None:
    """The other comet has closed, and the client was told."""
    with joined() as joint:
        joint.home.close()
        joint.turn()
        assert joint.closed == [joint.far]
        assert joint.client.recv(1) == b""

        await trio.sleep(joint.live.config.goodbye_timeout + 1)
        for _ in joint.live.wheel.advance(trio.current_time()):
            pass

        assert set(joint.closed) == {joint.near, joint.far}
