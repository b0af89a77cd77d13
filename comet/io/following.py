"""A client's place in one channel: what it has had, and how it is brought up to what comes live.

joins closed     `begin_replay`: what comes is held, in order
is replayed      comet/io/replay.py sends what is stored above its last id, then what was held
is live          `go_live`: the channel offers each round's frames
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from appmodel.core.credentials import Ticket
from comet.core.channel import BEHIND, Channel
from comet.core.message import Message
from comet.protocol.dialect import Encoder
from comet.protocol.native import Goodbye

D_co = TypeVar("D_co", bound=Encoder, covariant=True)

MAX_HELD = 256  # messages kept for a client while it is replayed


class Following(ABC, Generic[D_co]):
    """One subscriber of one channel, whether it is all that its connection is, or a part of it."""

    if not TYPE_CHECKING:  # the fields have their slots in the classes that are made of this one
        __slots__ = ()

    channel: Channel
    offer: Callable[[bytes], bool]  # send or queue frames; whoever owes too much is hung up on
    dialect: D_co
    cursor: int
    held: list[Message] | None
    overran: bool  # `held` was full: what it lost is in the store
    ticket: Ticket | None  # what let it in; None when auth is off

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether it can be offered anything."""

    @abstractmethod
    async def drained(self) -> None:
        """Wait until nothing is owed, or the client is gone. Cancelling is safe."""

    @abstractmethod
    def hang_up(self, goodbye: Goodbye) -> None:
        """End it from our side: say why, as far as the dialect can."""

    def hold(self, messages: Sequence[Message]) -> None:
        """Keep what comes while this client is replayed.

        Past MAX_HELD it is left to the store, which is read again; what was not stored is lost to it.
        """
        assert self.held is not None
        if len(self.held) + len(messages) > MAX_HELD:
            self.held.clear()
            self.overran = True
        else:
            self.held.extend(messages)

    def take_held(self, reached: int) -> list[Message]:
        """What was kept above `reached`; from now on again nothing is."""
        held, self.held = self.held or [], []
        return [message for message in held if message.id > reached]

    def begin_replay(self) -> None:
        """Join closed: from now on messages wait in order."""
        self.cursor, self.held = BEHIND, []

    def read_on(self) -> None:
        """The store is read again: what overran is there."""
        self.overran = False

    def go_live(self, reached: int) -> None:
        """Everything up to `reached` was sent, and nothing is kept: follow the channel."""
        self.held, self.cursor = None, reached
