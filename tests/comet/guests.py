"""Clients of light-push without a connection, and a comet around their rules that notes what it is told.

lobby = Lobby()
guest = await lobby.comes("uuid=u1")
answer = await guest.says("joinRoom", ["r1"])
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, cast

from msgspec import UNSET

from appmodel.core.lightpush_push import PushLimits, check_push
from appmodel.core.lightpush_records import (
    Ack,
    Arrival,
    ClientChange,
    ClientRecord,
    Draft,
    MuteEdit,
    Namespace,
    Neighbour,
    StoredPush,
)
from appmodel.core.lightpush_stores import Clients, PushBook
from appmodel.core.names import Key
from appmodel.core.realms import Claimant
from appmodel.errors import PushError
from comet.core.lightpush_calling import Call, Reply
from comet.core.lightpush_ports import Limits, Place, Ports
from comet.core.lightpush_rules import LightPushRules
from comet.core.rules import Answer, Broadcast, Effect, Effects, Emit, Event, Join, Leave, Refused
from comet.core.transport import Handshake

DEMO = Namespace("/demo")


class Guest:
    """Implements `Client`: effects are carried out at once, on itself."""

    def __init__(self, lobby: "Lobby", namespace: str, query: str, cookie: str) -> None:
        self.lobby, self.namespace = lobby, namespace
        self.handshake = Handshake(3, query, cookie, "10.0.0.1")
        self.sid, self.state = "", cast("Any", None)
        self.keys: list[Key] = []
        self.is_open = True
        self.done: list[Effect] = []

    def do(self, effects: Effects) -> None:
        """Note and carry out."""
        for effect in effects:
            self.done.append(effect)
            if isinstance(effect, Join):
                assert effect.key not in self.keys
                self.keys.append(effect.key)
            elif isinstance(effect, Leave):
                self.keys.remove(effect.key)

    async def shows_life(self, within: float) -> bool:
        """As long as it is open."""
        return self.is_open

    def oust(self, reason: str) -> None:
        """Its place is another one's."""
        self.is_open = False

    async def connects(self, asked: Any = None) -> Effects:
        """What its connect brings about; raises Refused."""
        effects = await self.lobby.rules.connect(self, asked)
        self.do(effects)
        return effects

    async def says(self, name: str, *arguments: Any, wants_answer: bool = True) -> Any:
        """Emit an event; the answer, or None."""
        before = len(self.done)
        result = self.lobby.rules.event(self, Event(name, arguments, wants_answer))
        self.do(await result if isinstance(result, Awaitable) else result)
        answers = [one.arguments[0] for one in self.done[before:] if isinstance(one, Answer)]
        assert len(answers) <= 1
        return answers[0] if answers else None

    def leaves(self, reason: str = "transport close") -> Effects:
        """It is gone; what others hear."""
        self.is_open = False
        return self.lobby.rules.gone(self, reason)

    def heard(self, name: str) -> list[Any]:
        """First arguments of the events of that name that it was sent."""
        return [e.arguments[0] for e in self.done if isinstance(e, Emit) and e.name == name]

    @property
    def announced(self) -> list[tuple[str, Key, Any]]:
        """What others were told of it."""
        found = [one for one in self.done if isinstance(one, Broadcast)]
        return [(one.name, one.key, one.arguments[0]) for one in found]


@dataclass
class Lobby:
    """All ports of the rules, in memory."""

    records: dict[str, Namespace] = field(default_factory=lambda: {"/demo": DEMO})
    reply: Reply | PushError = field(default_factory=lambda: Reply(200, b""))
    limits: Limits = field(
        default_factory=lambda: Limits(rooms=5, push_interval=1.0, broadcasts=True)
    )
    time: float = 1000.0
    asked: list[Call] = field(default_factory=list)
    told: list[Call] = field(default_factory=list)
    roll: list[tuple[Any, ...]] = field(default_factory=list)
    acks: list[Ack] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)
    profiles: dict[str, ClientRecord] = field(default_factory=dict)
    muted: dict[str, list[str]] = field(default_factory=dict)
    neighbours: Sequence[Neighbour] | None = None
    inboxes: dict[str, list[StoredPush]] = field(default_factory=dict)
    claimed: dict[Key, Claimant] = field(default_factory=dict)
    entered: set[str] = field(default_factory=set)
    trouble: PushError | None = None  # of all stores
    on_ask: Callable[[], None] = lambda: None  # while a back end thinks

    def __post_init__(self) -> None:
        ports = _Ports(self)
        self.rules = LightPushRules(
            Ports(
                records=ports,
                back_ends=ports,
                roll=ports,
                receipts=ports,
                pushing=ports,
                claims=ports,
                clients=cast("Clients", ports),
                pushes=cast("PushBook", ports),
                limits=self.limits,
                place=lambda: Place("host-1", 21314),
                now=lambda: self.time,
            )
        )

    def guest(self, query: str, *, namespace: str = "/demo", cookie: str = "") -> Guest:
        """Somebody whose transport has this query."""
        return Guest(self, namespace, query, cookie)

    async def comes(self, query: str, *, namespace: str = "/demo", cookie: str = "") -> Guest:
        """Somebody who is let in."""
        guest = self.guest(query, namespace=namespace, cookie=cookie)
        await guest.connects()
        return guest

    async def refusal(self, query: str, asked: Any = None, *, namespace: str = "/demo") -> Refused:
        """Why somebody is not let in; nothing is left of it."""
        guest = self.guest(query, namespace=namespace)
        before = (dict(self.claimed), list(self.roll), list(self.told), set(self.entered))
        try:
            await guest.connects(asked)
        except Refused as refused:
            after = (self.claimed, self.roll, self.told, self.entered)
            assert before == after, "a refusal has left traces"
            return refused
        raise AssertionError("it was let in")


class Made(NamedTuple):
    """See comet/core/lightpush_ports.py."""

    id: int
    expected: int


class _Ports:
    """Implements all of them."""

    def __init__(self, lobby: Lobby) -> None:
        self._lobby = lobby

    # Records

    async def find(self, namespace: str, client: str | None = None) -> Any:
        """Of `Records`, and of `Clients` with a client."""
        if client is not None:
            self._raise_trouble()
            return self._lobby.profiles.get(client)
        return self._lobby.records.get(namespace)

    def entered(self, record: Namespace) -> None:
        self._lobby.entered.add(record.key)

    def emptied(self, namespace: str) -> None:
        self._lobby.entered.remove(namespace)

    def current(self, namespace: str) -> Namespace | None:
        assert namespace in self._lobby.entered
        return self._lobby.records.get(namespace)

    # BackEnds

    async def ask(self, call: Call) -> Reply:
        self._lobby.asked.append(call)
        self._lobby.on_ask()
        if isinstance(self._lobby.reply, PushError):
            raise self._lobby.reply
        return self._lobby.reply

    def tell(self, call: Call) -> None:
        self._lobby.told.append(call)

    # Roll

    def came(self, arrival: Arrival) -> None:
        self._lobby.roll.append(("came", arrival.client))

    def went(self, arrival: Arrival, seats: int, *, reason: str) -> None:
        self._lobby.roll.append(("went", arrival.client, seats, reason))

    def joined(self, arrival: Arrival, room: str) -> None:
        self._lobby.roll.append(("joined", arrival.client, room))

    def left(self, arrival: Arrival, room: str) -> None:
        self._lobby.roll.append(("left", arrival.client, room))

    async def settled(self, arrival: Arrival) -> None:
        self._raise_trouble()

    # Receipts, Pushing

    def acknowledge(self, ack: Ack) -> None:
        self._lobby.acks.append(ack)

    async def push(self, fields: Mapping[str, object], namespace: Namespace | None) -> Made:
        self._raise_trouble()
        draft = check_push(fields, namespace, PushLimits(), now=round(self._lobby.time * 1000))
        self._lobby.drafts.append(draft)
        return Made(len(self._lobby.drafts), 3)

    # Claims

    async def claim(self, key: Key, claimant: Claimant) -> bool:
        if key in self._lobby.claimed:
            return False
        self._lobby.claimed[key] = claimant
        return True

    def release(self, key: Key, claimant: Claimant) -> None:
        if self._lobby.claimed.get(key) is claimant:
            del self._lobby.claimed[key]

    # Clients, PushBook: what the rules use of them

    async def change(self, namespace: str, client: str, change: ClientChange, *, now: int) -> bool:
        self._raise_trouble()
        record = self._lobby.profiles[client]
        values = {name: getattr(change, name) for name in change.__struct_fields__}
        given = {name: value for name, value in values.items() if value is not UNSET}
        self._lobby.profiles[client] = replace(record, update_date=now, **given)
        return True

    async def mutes(self, namespace: str, client: str) -> Sequence[str]:
        return self._lobby.muted.get(client, [])

    async def edit_mutes(self, namespace: str, client: str, edit: MuteEdit) -> None:
        rooms = {*self._lobby.muted.get(client, []), *edit.add} - {*edit.remove}
        self._lobby.muted[client] = sorted(rooms)

    async def near(
        self, namespace: str, client: str, *, radius: float, count: int
    ) -> Sequence[Neighbour] | None:
        found = self._lobby.neighbours
        return found if found is None else [n for n in found if n.distance <= radius][:count]

    async def take_inbox(self, namespace: str, client: str, *, now: int) -> Sequence[StoredPush]:
        self._raise_trouble()
        return self._lobby.inboxes.pop(client, [])

    def _raise_trouble(self) -> None:
        if self._lobby.trouble is not None:
            raise self._lobby.trouble
