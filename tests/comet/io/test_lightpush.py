"""light-push on comets: clients, books and back ends together, over a real database."""

from typing import Any

import msgspec
import pytest

from appmodel.core.lightpush_records import Lists, RoomOverview
from appmodel.core.names import Key
from appmodel.core.realms import Obeyed
from appmodel.core.units import Duration
from appmodel.io.database import Database
from appmodel.io.peers import Peers
from appmodel.io.realm_orders import ClusterOrders
from tests.comet.tenants import QUICK, Tenants, now, open_tenants, until
from web.services.lightpush_clients import LightpushClients

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

OK = {"status": 200, "msg": "ok"}


async def test_a_client_comes_is_pushed_to_and_acknowledges(database: Database) -> None:
    """The event has five fields; frames and acks are counted once."""
    async with open_tenants(database) as tenants:
        await tenants.save()
        device = tenants.device("uuid=d1&userid=u1&platform=ios")

        told = await device.connects()
        assert told["clientId"] == "/demo#u1#ios-d1"
        assert told["port"] == 21314
        assert await device.asks("joinRoom", ["r1"]) == OK
        made = await tenants.push(room="r1", pushData={"a": 1, "apsData": {"b": 2}})
        heard = await device.event("push")
        for _ in range(3):
            device.emits("ackPush", {"id": heard["id"]})
        device.emits("ackPush", {"id": heard["id"] + 1000})

        assert made.expected == 1
        assert set(heard) == {"id", "namespace", "room", "pushData", "sendDate"}
        assert (heard["id"], heard["namespace"], heard["room"]) == (made.id, "/demo", "r1")
        assert heard["pushData"] == {"a": 1}

        async def is_counted() -> bool:
            push = await tenants.books.pushes.find("/demo", made.id, now=now())
            assert push is not None
            return (push.online_clients, push.acks, push.ios_acks) == (1, 1, 1)

        await until(is_counted)


async def test_who_is_here_is_written_and_who_has_gone(database: Database) -> None:
    """Both layers: present, and known for good."""
    async with open_tenants(database) as tenants:
        await tenants.save()
        device = await tenants.comes("uuid=d1&userid=u1&platform=android")
        await device.asks("joinRoom", ["r1", "r2"])
        await device.asks("leaveRoom", "r2")
        attendance, clients = tenants.books.attendance, tenants.books.clients

        async def is_written() -> bool:
            found = await attendance.rooms("/demo", ["r1", "r2"])
            return found == {"r1": RoomOverview(1, 1, 0, 1), "r2": RoomOverview()}

        await until(is_written)
        device.phone.lose()

        async def has_gone() -> bool:
            found = await attendance.lists("/demo", most=10)
            record = await clients.find("/demo", "/demo#u1#android-d1")
            assert record is not None
            is_noted = record.last_disconnect_time is not None
            return is_noted and found == Lists([], [], [])

        await until(has_gone)
        record = await clients.find("/demo", "/demo#u1#android-d1")
        assert record is not None
        assert record.disconnect_reason == "network"
        totals = await clients.room_totals("/demo", ["r1", "r2", "user_u1"])
        assert {total.android for total in totals.values()} == {1}


async def test_a_second_client_of_an_id_is_refused_on_any_comet(database: Database) -> None:
    """Until the first one has gone, or is dead."""
    async with open_tenants(database, ("a", "b")) as tenants:
        await tenants.save()
        first = await tenants.comes("uuid=d1", comet="a")

        for comet in "ab":
            second = tenants.device("uuid=d1", comet=comet)
            second.ask_in()
            assert await second.hears() == '4/demo,"socket.id conflict"'

        first.phone.lose()
        await tenants.comes("uuid=d1", comet="b")


async def test_others_hear_of_a_client_on_every_comet(database: Database) -> None:
    """Come, left, gone; not the client itself (W13)."""
    async with open_tenants(database, ("a", "b")) as tenants:
        await tenants.save()
        watcher = await tenants.comes("uuid=w", comet="a")
        await watcher.asks("joinRoom", "r1")
        mover = await tenants.comes("uuid=m&activityBroadcast=true", comet="b")

        await mover.asks("joinRoom", "r1")
        person = {"sid": "/demo#m#web-m", "uuid": "m", "userid": "m", "room": "r1"}
        assert await watcher.event("peopleJoin") == person
        await mover.asks("leaveRoom", "r1")
        assert await watcher.event("peopleLeave") == {**person, "clientOffline": False}
        await mover.asks("joinRoom", "r1")
        await watcher.event("peopleJoin")
        mover.phone.lose()

        assert await watcher.event("peopleLeave") == {**person, "clientOffline": True}
        assert mover.phone.heard == []


async def test_a_client_pushes_to_everybody_else(database: Database) -> None:
    """On every comet, and not to itself; who is meant is counted."""
    async with open_tenants(database, ("a", "b")) as tenants:
        await tenants.save()
        sender = await tenants.comes("uuid=s", comet="a")
        readers = [await tenants.comes(f"uuid=r{at}", comet=comet) for at, comet in enumerate("ab")]
        for device in (sender, *readers):
            await device.asks("joinRoom", "r1")
        await until_known(tenants, Key("/demo", "r1", "qun"), 3)

        answer = await sender.asks("push", {"room": "r1", "pushData": {"typing": True}})

        for device in readers:
            assert (await device.event("push"))["pushData"] == {"typing": True}
        found = await tenants.books.pushes.find("/demo", answer["id"], now=now())
        assert found is not None
        assert found.draft.sender == "/demo#s#web-s"
        assert await sender.asks("info", {}) != {}  # nothing came before this answer
        assert sender._passed == []
        assert answer == {**OK, "id": answer["id"], "expectAckCount": 2}

        async def is_counted() -> bool:
            push = await tenants.books.pushes.find("/demo", answer["id"], now=now())
            return push is not None and push.online_clients == 2

        await until(is_counted)


async def test_a_client_reads_and_changes_its_own_record(database: Database) -> None:
    """At once, though who is here is written behind."""
    async with open_tenants(database) as tenants:
        await tenants.save()
        device = await tenants.comes("uuid=d1&userid=u1&platform=ios")

        found = await device.asks("info", {})
        assert found["userid"] == "u1"
        assert "mobile" not in found
        assert await device.asks("info", {"mobile": "1", "leaveMessage": False}) == OK
        found = await device.asks("info", {})
        assert (found["mobile"], found["leaveMessage"]) == ("1", "false")
        assert await device.asks("apns", {"add": ["r1"]}) == OK
        assert await device.asks("apns", {}) == ["r1"]
        assert (await device.asks("info", {}))["no_send_apns"] == "r1"


async def test_clients_discover_one_another(database: Database) -> None:
    """Only those of their namespace that said where they are."""
    async with open_tenants(database) as tenants:
        for namespace in ("/demo", "/other"):
            await tenants.save(namespace)
        me, friend, stranger = [
            await tenants.comes(f"uuid={name}", namespace=namespace)
            for name, namespace in [("me", "/demo"), ("friend", "/demo"), ("x", "/other")]
        ]

        assert (await me.asks("discover", {}))["status"] == 500
        for device in (me, friend, stranger):
            await device.asks("info", {"longitude": 8.5, "latitude": 47.4, "mobile": "secret"})

        (found,) = (await me.asks("discover", {}))["list"]
        assert (found["id"], found["distance"]) == ("/demo#friend#web-friend", "0.0000")
        assert "secret" not in str(found)


async def test_what_an_android_client_missed_waits_for_it(database: Database) -> None:
    """It reads it once, before `ok`, and may acknowledge it at once (W18)."""
    async with open_tenants(database) as tenants:
        await tenants.save()
        made = await tenants.push(room="r1", pushData={"a": 1}, leaveMessage=True)
        push = await tenants.books.pushes.find("/demo", made.id, now=now())
        assert push is not None
        client = "/demo#d1#android-d1"
        await tenants.books.pushes.put_in_inboxes(push, [client], now=now())
        device = tenants.device("uuid=d1&platform=android")

        device.ask_in()
        device.emits("ackPush", {"id": made.id})  # early: it waits until the client is in

        assert await device.hears() == "0/demo,"
        (missed,) = await device.event("offlineMessage")
        assert (missed["id"], missed["room"], missed["pushData"]) == (made.id, "r1", {"a": 1})
        await device.event("ok")

        async def is_acknowledged() -> bool:
            found = await tenants.books.pushes.acknowledged("/demo", made.id, [client])
            return found == {client}

        await until(is_acknowledged)
        device.phone.lose()
        again = await tenants.comes("uuid=d1&platform=android")
        assert again.phone.heard == []


@pytest.mark.parametrize("revision", [3, 4])
async def test_refusals_as_each_protocol_says_them(database: Database, revision: int) -> None:
    """The transport stays open: the next try may be better."""
    async with open_tenants(database) as tenants:
        await tenants.save()
        device = tenants.device("EIO=3", namespace="/nowhere", revision=revision)

        device.ask_in()

        if revision == 3:
            assert await device.hears() == "1/nowhere,"
            assert await device.hears() == '4/nowhere,"this namespace not found"'
        else:
            assert await device.hears() == '4/nowhere,{"message":"this namespace not found"}'
        assert device.phone.is_open


async def test_a_namespace_that_goes_offline_loses_its_clients(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while; their transports stay, and when it is back they may come in again."""
    monkeypatch.setattr("comet.io.lightpush_watching.JITTER", 0.05)
    async with open_tenants(database, ("a", "b")) as tenants:
        await tenants.save()
        await tenants.save("/other")
        devices = [await tenants.comes(f"uuid={name}", comet=name) for name in "ab"]
        spared = await tenants.comes("uuid=a", namespace="/other")

        await tenants.save(is_offline=True)

        for device in devices:
            assert await device.hears() == "1/demo,"
            assert device.phone.is_open
        device.ask_in()
        assert await device.hears() == "1/demo,"
        assert await device.hears() == '4/demo,"this namespace offline"'
        assert spared.phone.heard == []

        await tenants.save(is_offline=False)
        await until_open(tenants)
        await device.connects()


async def until_known(tenants: Tenants, key: Key, online: int) -> None:
    """The owner of `key` knows of so many."""
    node = tenants.cluster.registry.view.owner(key)
    assert node is not None
    pusher = tenants.cluster.worlds[node.name].comet.pusher

    async def is_known() -> bool:
        (found,) = await pusher.presence([key])
        return found.online == online

    await until(is_known)


async def until_open(tenants: Tenants) -> None:
    """Every comet knows that the namespace is back."""

    async def is_open() -> bool:
        found = [await served.watching.find("/demo") for served in tenants.served]
        return all(record is not None and not record.is_offline for record in found)

    await until(is_open)


async def test_who_was_moved_before_anything_was_written_is_a_member_for_good(
    database: Database,
) -> None:
    """Comets write behind; REST's moves see what they know. Who is moved out again is a member no more."""
    late = msgspec.structs.replace(QUICK.roll, gather=Duration(3600))  # unless somebody waits
    config = msgspec.structs.replace(QUICK, roll=late)
    async with open_tenants(database, ("a", "b"), config) as tenants:
        registry = tenants.cluster.registry
        await tenants.save()
        for number, comet in enumerate("ab"):
            device = await tenants.comes(f"uuid=d{number}", comet=comet)
            await device.asks("joinRoom", ["r1", "r3"])
        record = (await tenants.books.namespaces.find(["/demo"]))["/demo"]

        async def members() -> list[int]:
            found = await tenants.books.clients.room_totals("/demo", ["r1", "r2", "r3"])
            return [found[room].clients for room in ("r1", "r2", "r3")]

        async with Peers(registry) as peers:
            rest = LightpushClients(tenants.books.clients, ClusterOrders(registry, peers.host))
            order: dict[str, Any] = {"targetRoom": "r2", "sourceRooms": ["r1"]}
            await rest.transfer("/demo", record, {**order, "type": "join"})
            assert await members() == [2, 2, 2]
            await device.asks("joinRoom", "r4")
            order = {"targetRoom": "r3", "sourceRooms": ["r4"]}
            await rest.transfer("/demo", record, {**order, "type": "leave"})

        assert await members() == [2, 2, 1]


async def test_who_is_sent_away_by_an_order_is_written_before_it_is_answered(
    database: Database,
) -> None:
    """Who then empties the books is not written to afterwards: a namespace that is cleared stays so."""
    late = msgspec.structs.replace(QUICK.roll, gather=Duration(3600))  # unless somebody waits
    config = msgspec.structs.replace(QUICK, roll=late)
    async with open_tenants(database, ("a", "b"), config) as tenants:
        await tenants.save()
        for number, comet in enumerate("ab"):
            device = await tenants.comes(f"uuid=d{number}", comet=comet)
            await device.asks("joinRoom", "r1")

        registry = tenants.cluster.registry
        async with Peers(registry) as peers:
            answer = await ClusterOrders(registry, peers.host).dismiss("/demo", "clear")

        assert answer == Obeyed(2)
        assert [served.roll.pending for served in tenants.served] == [0, 0]
        for number in range(2):
            record = await tenants.books.clients.find("/demo", f"/demo#d{number}#web-d{number}")
            assert record is not None
            assert record.disconnect_reason == "clear"
        assert (await tenants.books.clients.room_totals("/demo", ["r1"]))["r1"].clients == 2


async def test_namespaces_share_nothing(database: Database) -> None:
    """Equal users, rooms and devices: no event of one reaches the other."""
    async with open_tenants(database) as tenants:
        devices: dict[str, Any] = {}
        for namespace in ("/a", "/b"):
            await tenants.save(namespace)
            query = "uuid=d1&userid=u1&activityBroadcast=true"
            devices[namespace] = await tenants.comes(query, namespace=namespace)
            await devices[namespace].asks("joinRoom", ["r1"])

        made = await tenants.push("/a", room="r1", pushData={"for": "a"})
        await tenants.push("/a", room="user_u1", pushData={"for": "a"})
        devices["/b"].emits("ackPush", {"id": made.id})
        assert await devices["/b"].asks("info", {"mobile": "b"}) == OK

        assert (await devices["/a"].event("push"))["pushData"] == {"for": "a"}
        assert devices["/b"]._passed == devices["/b"].phone.heard == []
        assert "mobile" not in await devices["/a"].asks("info", {})
        client = "/b#u1#web-d1"
        assert not await tenants.books.pushes.acknowledged("/a", made.id, [client])
        assert (await tenants.books.clients.find("/a", client)) is None
