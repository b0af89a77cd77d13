"""A Socket.IO application on a comet: one object of rules that turns what clients do into effects.

    class Chat:
        async def connect(self, client, asked):
            if not asked.get("name"):
                raise Refused("name missing")
            client.state = asked["name"]
            return [Accept(), Join(Key("/chat", "lobby", "qun")), Emit("hello", (client.state,))]

        def event(self, client, event):
            if event.name == "say":
                return [Answer(("ok",))]
            return ()

        def gone(self, client, reason):
            return ()

A namespace's clients share one such object. `event` and `gone` answer at once, or return something to be
awaited: then what this client says meanwhile waits behind it, in order and bounded, and others do not.
Effects are carried out in their order by comet/io/client.py; a `Join` is done when its owner knows of it, so
an `Emit` or `Answer` behind it comes when nothing pushed to the key can be missed any more.

What is pushed to a key reaches each client that has joined it, as an event: a body that is a JSON array
which begins with a text is the event itself with its arguments, anything else is the argument of `push`.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from appmodel.core.credentials import Ticket
from appmodel.core.names import Key
from appmodel.core.realms import Claimant
from comet.core.transport import Handshake


@dataclass(frozen=True, slots=True)
class Accept:
    """The client is in: the first effect of a `connect` that succeeds."""

    sid: str = ""  # its id as clients of Socket.IO 5 see it; "" = a random one


@dataclass(frozen=True, slots=True)
class Join:
    """Be sent what is pushed to `key`. `after`: first what is stored above this id; None = from now on."""

    key: Key
    after: int | None = None
    ticket: Ticket | None = None  # what allows it: the key is left when that is revoked


@dataclass(frozen=True, slots=True)
class Leave:
    """No more of it."""

    key: Key


@dataclass(frozen=True, slots=True)
class Emit:
    """An event to this client alone. `arguments`: what JSON can carry, and bytes (as attachments)."""

    name: str
    arguments: tuple[Any, ...] = ()
    answered: "Callable[[Sequence[Any]], Effects] | None" = (
        None  # the client is asked to acknowledge it
    )


@dataclass(frozen=True, slots=True)
class Broadcast:
    """An event to everybody else who has joined `key`, on whichever comet; nothing is stored."""

    key: Key
    name: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """The acknowledgement of the event, if the client asked for one; else nothing."""

    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Dismiss:
    """Close the namespace for this client; the transport stays open. `gone` follows."""

    reason: str


Effect = Accept | Join | Leave | Emit | Broadcast | Answer | Dismiss
Effects = Sequence[Effect]


class Refused(Exception):
    """`connect` says no: the transport stays open, the namespace is closed."""

    def __init__(self, message: str, data: Any = None, *, closes: bool = False) -> None:
        """`data`: for clients of Socket.IO 5. `closes`: a client of 4 first reads that it was disconnected."""
        super().__init__(message)
        self.message, self.data, self.closes = message, data, closes


@dataclass(frozen=True, slots=True)
class Event:
    """What a client emitted."""

    name: str
    arguments: Sequence[Any]  # JSON values, and bytes for attachments
    wants_answer: bool


class Client(Claimant, Protocol):
    """One client in one namespace. `shows_life` and `oust` are those of its transport."""

    namespace: str
    state: Any  # the rules' own: what they know of it

    @property
    def sid(self) -> str:
        """Its id, known once it was accepted."""

    @property
    def handshake(self) -> Handshake:
        """Of the transport that carries it, maybe beside other namespaces."""

    @property
    def keys(self) -> Sequence[Key]:
        """What it has joined, in that order."""

    @property
    def is_open(self) -> bool:
        """Whether it is still here: look again after waiting for anything."""

    def do(self, effects: Effects) -> None:
        """Carry out what did not come of its own doings, behind what is under way for it."""


class Rules(Protocol):
    """See the module. Methods that take time are given a deadline by whoever wrote them."""

    async def connect(self, client: Client, asked: Any) -> Effects:
        """Whether it may come in; `asked`: the payload of Socket.IO 5, or the query of 4 as a dict.

        Raises:
            Refused: it may not. Any other PushError is told as its message.
        """

    def event(self, client: Client, event: Event) -> Effects | Awaitable[Effects]:
        """What an event of an accepted client brings about."""

    def gone(self, client: Client, reason: str) -> Effects | Awaitable[Effects]:
        """It has left: its keys are still listed, and what others hear of it is all that can be done.

        Called once if `connect` had returned, though its transport may have died meanwhile.
        """


class FindRules(Protocol):
    """Which rules a namespace has."""

    def __call__(self, namespace: str, /) -> Rules | None:
        """None: there is no such namespace."""
