"""How a client of light-push comes in: the checks in their order, and what they say.

    1  no such namespace             41/ns,  44/ns,"this namespace not found"
    2  it is offline                 41/ns,  44/ns,"this namespace offline"
    3  uuid, userid, platform        41/ns,  44/ns,"uuid invalid"                   lightpush_identity.py
    4  a client of that id is here           44/ns,"socket.id conflict"             unless that one is dead
    5  its back end was not reached          44/ns,"connect callback failed"
    6  its back end says no          41/ns,  44/ns,"handshake fail statusCode: 403"
    7  in                            40/ns,  offlineMessage (Android), its rooms, ok

    ok    {"system": <name of the host>, "port": 21314, "clientId": "/demo#u001#ios-edgw453"}

A refusal leaves no trace: nothing is written, no callback follows (W11). A back end that names a user who can be
none refuses its client, too: it must not come in as somebody else. The id is claimed before the back end is
asked, so of two equal clients one asks (W30). What waits for an Android client is taken when nothing can refuse
it any more, and sent before `ok`. The client is in its rooms when it reads `ok`.

Source: spec/liutian-push.md 3.3, 3.4 and 8.4.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from appmodel.core.lightpush import MAX_USERID, Platform, is_name, is_namespace, is_room, user_room
from appmodel.core.lightpush_push import push_event
from appmodel.core.lightpush_records import Arrival, Namespace
from appmodel.core.names import Key
from appmodel.core.realms import client_key
from appmodel.errors import PushError
from comet.core.lightpush_calling import Verdict, Visit, question, verdict
from comet.core.lightpush_identity import Identity, identify, merge
from comet.core.lightpush_ports import Guest, Ports
from comet.core.lightpush_rooms import Rooms
from comet.core.rules import Accept, Client, Effect, Effects, Emit, Join, Refused

NOT_FOUND, OFFLINE = "this namespace not found", "this namespace offline"
NOTHING: Mapping[str, str] = MappingProxyType({})  # one for all whose URL says everything
CONFLICT, NOT_REACHED = "socket.id conflict", "connect callback failed"


class Entering:
    """Lets clients in."""

    def __init__(
        self, ports: Ports, rooms: Rooms, *, attend: Callable[[Client, Namespace], None]
    ) -> None:
        """`attend`: told of a client as soon as nothing refuses it any more; puts it on the roll."""
        self._ports, self._rooms, self._attend = ports, rooms, attend

    async def enter(self, client: Client, asked: Any) -> Effects:
        """See `Rules.connect`. If it raises, whoever called takes back what `client.state` stands for."""
        ports, url = self._ports, client.handshake.query
        record = await self._find(client.namespace)
        query = merge(asked, url)
        identity = identify(client.namespace, query)
        extra = {name: text for name, text in query.items() if name not in url}
        client.state = guest = Guest(
            arrival=self._arrival(client.namespace, identity),
            named=identity.userid,
            announces=identity.announces,
            asked=extra or NOTHING,
        )
        own = client_key(client.namespace, identity.client)
        if not await ports.claims.claim(own, client):
            raise Refused(CONFLICT)
        said = await self._ask(record, client)
        record = await self._find(client.namespace)  # it may have gone offline meanwhile
        guest.arrival = self._arrival(client.namespace, identity, said.userid)
        self._attend(client, record)
        missed = await self._missed(client)
        return self._welcome(client, own, missed, said.rooms)

    async def _find(self, namespace: str) -> Namespace:
        known = is_namespace(namespace)  # a stranger's long text is no question for a database
        record = await self._ports.records.find(namespace) if known else None
        if record is None:
            raise Refused(NOT_FOUND, closes=True)
        if record.is_offline:
            raise Refused(OFFLINE, closes=True)
        return record

    async def _ask(self, record: Namespace, client: Client) -> Verdict:
        if not record.connect_callback:
            return Verdict()
        try:
            visit = visit_of(client)
            call = question(record.connect_callback, record.callback_auth, visit)
            reply = await self._ports.back_ends.ask(call)
        except PushError:  # its text may have addresses of the inside (W29)
            raise Refused(NOT_REACHED) from None
        said = verdict(reply)
        if said.userid and not is_name(said.userid, MAX_USERID):
            raise Refused("userid invalid", closes=True)
        return said

    async def _missed(self, client: Client) -> Sequence[Any]:
        """What was kept for it, the newest first. Nothing if it cannot be read now: it is kept on."""
        arrival: Arrival = client.state.arrival
        if arrival.platform is not Platform.ANDROID or not client.is_open:
            return ()
        now = round(self._ports.now() * 1000)
        try:
            found = await self._ports.pushes.take_inbox(arrival.namespace, arrival.client, now=now)
        except PushError:
            return ()
        return [msgspec.json.decode(push_event(one.id, one.draft))[1] for one in found]

    def _welcome(
        self, client: Client, own: Key, missed: Sequence[Any], named: Sequence[str]
    ) -> Effects:
        guest: Guest = client.state
        arrival, limits = guest.arrival, self._ports.limits
        mine = user_room(arrival.userid)
        rooms = list(dict.fromkeys([mine, *filter(is_room, named)]))[: limits.rooms]
        effects: list[Effect] = [Accept(arrival.client)]
        if missed:
            effects.append(Emit("offlineMessage", (missed,)))
        effects.append(Join(own))
        effects += self._rooms.enter(client, rooms)
        place = self._ports.place()
        told = {"system": place.system, "port": place.port, "clientId": arrival.client}
        return [*effects, Emit("ok", (told,))]

    def _arrival(self, namespace: str, identity: Identity, userid: str = "") -> Arrival:
        return Arrival(
            namespace,
            identity.client,
            userid or identity.userid,
            identity.platform,
            identity.uuid,
            at=round(self._ports.now() * 1000),
        )


def visit_of(client: Client) -> Visit:
    """Its handshake, with the defaults filled in: the same when it comes and when it goes."""
    guest: Guest = client.state
    shake = client.handshake
    own = {"userid": guest.named, "platform": guest.platform.value}
    return Visit(client.namespace, {**guest.asked, **shake.query, **own}, shake.cookie)
