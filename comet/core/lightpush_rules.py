r"""light-push as clients know it: the rules of all its namespaces.

    joinRoom, leaveRoom       lightpush_rooms.py
    info, apns, discover      lightpush_profile.py
    ackPush, {"id":17}        no answer; of any id, again and again: what is not a push of its namespace is nothing
    push, {room, pushData}    {"status":200,"msg":"ok","id":17,"expectAckCount":3}
                              {"status":500,"msg":"limited access in 1s"}
                              {"status":400,"msg":"{\"code\": 9999,\"msg\": \"room can not be empty\"}"}

The namespace of a push and its `from` are what the server knows (W3); `except` is the client itself unless it
names another one. A push that is refused counts for the rate, one that is too early does not. Other events mean
nothing. Who has gone leaves no client of its id, hears no more, and its back end is told, once.

Source: spec/liutian-push.md sections 3 and 4.
"""

from collections.abc import Awaitable, Collection, Sequence
from typing import Any

import msgspec

from appmodel.core.lightpush import Refusal
from appmodel.core.lightpush_records import Ack, Namespace
from appmodel.core.realms import Transfer, client_key
from appmodel.errors import PushError
from comet.core.lightpush_calling import farewell
from comet.core.lightpush_entering import Entering, visit_of
from comet.core.lightpush_ports import Guest, Ports
from comet.core.lightpush_profile import Profile
from comet.core.lightpush_rooms import OK, Rooms
from comet.core.rules import Answer, Client, Effects, Event

MAX_NUMBER = 2**53 - 1  # the highest push id that JavaScript can say
CODE = 9999  # of every refusal, as in REST
CLEAR, NETWORK = (
    "clear",
    "network",
)  # why a client has gone: somebody cleared the namespace, or else


class LightPushRules:
    """Implements `Rules` for every namespace of light-push."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._rooms = Rooms(ports)
        self._profile = Profile(ports)
        self._entering = Entering(ports, self._rooms, attend=self._attend)
        self._here: dict[str, dict[str, Client]] = {}  # namespace -> client id -> who has it

    def here(self, namespace: str) -> Collection[Client]:
        """The clients in it, as they are now."""
        return list(self._here.get(namespace, {}).values())

    def names(self) -> Sequence[tuple[str, str]]:
        """Namespace and id of every client."""
        return [(key, name) for key, clients in self._here.items() for name in clients]

    def find(self, name: tuple[str, str]) -> Client | None:
        """Who has this id in this namespace."""
        namespace, client = name
        return self._here.get(namespace, {}).get(client)

    async def connect(self, client: Client, asked: Any) -> Effects:
        """See `Rules`."""
        try:
            return await self._entering.enter(client, asked)
        except BaseException:
            self._forget(client)
            raise

    def event(self, client: Client, event: Event) -> Effects | Awaitable[Effects]:
        """See `Rules`."""
        match event.name:
            case "joinRoom":
                return self._rooms.join(client, event.arguments)
            case "leaveRoom":
                return self._rooms.leave(client, event.arguments)
            case "ackPush":
                return self._acknowledge(client, event.arguments)
            case "push":
                return self._push(client, event.arguments)
            case "info" | "apns" | "discover":
                return self._profile.event(client, event)
        return ()

    def transferred(self, client: Client, order: Transfer) -> Effects:
        """An order has moved it from room to room."""
        return self._rooms.transferred(client, order)

    async def settled(self, clients: Sequence[Client]) -> None:
        """Return when their rooms are written: web may go on to the total layer. Raises Unavailable."""
        for client in clients:
            guest: Guest = client.state
            await self._ports.roll.settled(guest.arrival)

    def gone(self, client: Client, reason: str) -> Effects:
        """See `Rules`."""
        record = self._ports.records.current(client.namespace)
        self._forget(client, CLEAR if reason == CLEAR else NETWORK)
        if record is not None and record.disconnect_callback:
            call = farewell(record.disconnect_callback, record.callback_auth, visit_of(client))
            self._ports.back_ends.tell(call)
        return self._rooms.gone(client)

    def _attend(self, client: Client, record: Namespace) -> None:
        guest: Guest = client.state
        clients = self._here.setdefault(record.key, {})
        rival = clients.get(guest.arrival.client)
        if rival is not None:  # dead, and has not been told so yet
            self._strike(rival, NETWORK)
        clients[guest.arrival.client] = client
        self._ports.records.entered(record)
        self._ports.roll.came(guest.arrival)
        guest.is_on_roll = True

    def _forget(self, client: Client, reason: str = NETWORK) -> None:
        """It has no id any more. Nothing happens the second time, or if it never had one."""
        guest: Guest | None = client.state
        if guest is None:
            return
        name = guest.arrival.client
        self._ports.claims.release(client_key(client.namespace, name), client)
        self._strike(client, reason)
        clients = self._here.get(client.namespace, {})
        if clients.get(name) is client:
            del clients[name]
            if not clients:
                del self._here[client.namespace]
                self._ports.records.emptied(client.namespace)

    def _strike(self, client: Client, reason: str) -> None:
        """Off the roll: never behind the one that has its id by now."""
        guest: Guest = client.state
        if guest.is_on_roll:
            guest.is_on_roll = False
            self._ports.roll.went(guest.arrival, guest.seats, reason=reason)

    def _acknowledge(self, client: Client, arguments: Sequence[Any]) -> Effects:
        guest: Guest = client.state
        fields = arguments[0] if arguments else None
        number = _number(fields.get("id")) if isinstance(fields, dict) else None
        if number is not None:
            arrival = guest.arrival
            ack = Ack(arrival.namespace, number, arrival.client, arrival.platform)
            self._ports.receipts.acknowledge(ack)
        return ()

    def _push(self, client: Client, arguments: Sequence[Any]) -> Effects | Awaitable[Effects]:
        guest: Guest = client.state
        interval, now = self._ports.limits.push_interval, self._ports.now()
        if now - guest.pushed_at < interval:
            return [Answer(({"status": 500, "msg": f"limited access in {interval:g}s"},))]
        guest.pushed_at = now
        given = arguments[0] if arguments and isinstance(arguments[0], dict) else {}
        mine = guest.arrival.client
        return self._make_push(client.namespace, {"except": mine, **given, "from": mine})

    async def _make_push(self, namespace: str, fields: dict[str, Any]) -> Effects:
        record = self._ports.records.current(namespace)
        try:
            made = await self._ports.pushing.push(fields, record)
        except Refusal as refusal:
            text = msgspec.json.encode(str(refusal)).decode()
            answer = {"status": 400, "msg": f'{{"code": {CODE},"msg": {text}}}'}
        except PushError as error:
            answer = {"status": 500, "msg": str(error)}
        else:
            answer = {**OK, "id": made.id, "expectAckCount": made.expected}
        return [Answer((answer,))]


def _number(value: Any) -> int | None:
    """A push id, as a number or as the text that the original stored; None if it can be none."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 16:
        value = int(value)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 < value <= MAX_NUMBER else None
