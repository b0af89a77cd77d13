"""Clients of light-push in SQL: who was ever seen and who was ever in a room, written in batches by comets."""

import pytest

from appmodel.core.lightpush import Platform
from appmodel.core.lightpush_records import (
    Arrival,
    ClientChange,
    ClientRecord,
    Departure,
    Enrolment,
    MuteEdit,
    Reachable,
    Totals,
)
from appmodel.core.lightpush_stores import MAX_MUTES
from appmodel.errors import LimitReached
from appmodel.io.database import Database
from appmodel.io.lightpush_clients import SqlClients
from appmodel.orm import lightpush_member_queries

WEB, IOS, ANDROID = Platform.WEB, Platform.IOS, Platform.ANDROID


@pytest.fixture
def clients(database: Database) -> SqlClients:
    """None yet."""
    return SqlClients(database)


def arrival(
    client: str, at: int = 100, *, of: str = "/a", user: str = "ann", platform: Platform = WEB
) -> Arrival:
    """Connected at `at`."""
    return Arrival(of, client, user, platform, f"uuid-{client}", at)


def members(room: str, *names: str, of: str = "/a", platform: Platform = WEB) -> list[Enrolment]:
    """They enter a room."""
    return [Enrolment(of, room, name, platform) for name in names]


async def test_a_client_is_known_from_its_first_connect_on(clients: SqlClients) -> None:
    """The first time stays, the last one grows, in whatever order and however often they are written."""
    await clients.arrived([arrival("c", 200)])
    for _ in range(2):
        await clients.arrived([arrival("c", 300), arrival("d", 1, of="/b")])
    await clients.arrived([arrival("c", 250)])

    assert await clients.find("/a", "c") == ClientRecord(
        "/a", "c", "ann", WEB, "uuid-c", first_connect_time=200, last_connect_time=300
    )
    assert await clients.find("/b", "c") is None
    assert await clients.find("/a", "d") is None
    assert await clients.totals(["/a", "/b", "/c"]) == {"/a": 1, "/b": 1, "/c": 0}


async def test_a_disconnect_is_of_one_connection(clients: SqlClients) -> None:
    """One that ended before the client came again says nothing about it."""
    await clients.arrived([arrival("c", 200), arrival("d", 200)])

    gone = [Departure("/a", "c", 100, 400), Departure("/a", "d", 200, 500, "clear")]
    for _ in range(2):
        await clients.departed([*gone, Departure("/b", "d", 200, 600), Departure("/a", "x", 1, 2)])

    c, d = await clients.find("/a", "c"), await clients.find("/a", "d")
    assert c is not None
    assert d is not None
    assert (c.last_disconnect_time, c.disconnect_reason) == (None, None)
    assert (d.last_disconnect_time, d.disconnect_reason) == (500, "clear")


async def test_only_what_is_given_changes(clients: SqlClients) -> None:
    """Of a client that is known, in its own namespace."""
    await clients.arrived([arrival("c"), arrival("c", of="/b")])
    change = ClientChange(device_token="tok", mobile="1", system="s", leave_message=False)

    assert await clients.change("/a", "c", change, now=500)
    assert await clients.change("/a", "c", ClientChange(mobile="2"), now=600)
    assert not await clients.change("/a", "x", change, now=500)

    c, other = await clients.find("/a", "c"), await clients.find("/b", "c")
    assert c is not None
    assert other is not None
    assert (c.device_token, c.mobile, c.system) == ("tok", "2", "s")
    assert (c.leave_message, c.update_date) == (False, 600)
    assert (other.device_token, other.update_date) == (None, None)


async def test_a_token_that_apple_does_not_know_is_forgotten(clients: SqlClients) -> None:
    """Not a new one that came meanwhile."""
    await clients.arrived([arrival("c")])
    await clients.change("/a", "c", ClientChange(device_token="new"), now=1)

    assert not await clients.forget_token("/a", "c", "old")
    assert not await clients.forget_token("/b", "c", "new")
    assert await clients.forget_token("/a", "c", "new")

    c = await clients.find("/a", "c")
    assert c is not None
    assert c.device_token is None


async def test_mutes_are_added_and_then_removed(clients: SqlClients) -> None:
    """Remove wins; a list that was emptied is empty (W35); each client and namespace has its own."""
    await clients.arrived([arrival("c")])
    await clients.edit_mutes("/a", "c", MuteEdit(["r2", "r1", "r3"], ["r3"]))
    await clients.edit_mutes("/a", "c", MuteEdit(["r1"]))

    assert await clients.mutes("/a", "c") == ["r1", "r2"]
    c = await clients.find("/a", "c")
    assert c is not None
    assert c.muted == ("r1", "r2")
    assert await clients.mutes("/b", "c") == []
    await clients.edit_mutes("/a", "c", MuteEdit(remove=["r1", "r2", "none"]))
    assert await clients.mutes("/a", "c") == []


async def test_mutes_are_bounded(clients: SqlClients) -> None:
    """One too many changes nothing."""
    await clients.edit_mutes("/a", "c", MuteEdit([f"r{n}" for n in range(MAX_MUTES)]))

    with pytest.raises(LimitReached, match="no_send_apns"):
        await clients.edit_mutes("/a", "c", MuteEdit(["one more"], ["r1 is not there"]))

    assert len(await clients.mutes("/a", "c")) == MAX_MUTES


async def test_a_room_counts_all_that_were_ever_in_it(clients: SqlClients) -> None:
    """By platform, each once, of its own namespace: names that join to the same text do not meet (W27)."""
    await clients.enrolled([*members("r", "i", platform=IOS), *members("r", "w", "w")])
    await clients.enrolled([*members("r", "a", platform=ANDROID), *members("r", "w")])
    await clients.enrolled([*members("b_c", "x"), *members("c", "y", "z", of="/a_b")])

    assert await clients.room_totals("/a", ["r", "b_c", "c"]) == {
        "r": Totals(3, 1, 1),
        "b_c": Totals(1),
        "c": Totals(),
    }


async def test_a_client_is_a_member_of_so_many_rooms(
    clients: SqlClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is a member of no new one; the others still are."""
    monkeypatch.setattr(lightpush_member_queries, "MAX_ENROLMENTS", 2)
    for room in ("r1", "r2", "r3"):
        await clients.enrolled(
            [*members(room, "c"), *members("r3", "d"), *members("r3", "c", of="/b")]
        )

    totals = await clients.room_totals("/a", ["r1", "r2", "r3"])
    assert [totals[room].clients for room in ("r1", "r2", "r3")] == [1, 1, 1]
    assert (await clients.room_totals("/b", ["r3"]))["r3"].clients == 1


async def test_a_transfer_moves_the_union_of_its_sources(
    clients: SqlClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any number of steps; the target may be among them, and other namespaces stay as they are."""
    monkeypatch.setattr(lightpush_member_queries, "STEP", 2)
    await clients.enrolled(
        [*members("s1", "a", "b", "c", platform=IOS), *members("s2", "c", "d", "e")]
    )
    await clients.enrolled([*members("t", "x", "a"), *members("s1", "z", of="/b")])

    await clients.transfer("/a", "t", ["s1", "s2", "none"], is_join=True)

    assert (await clients.room_totals("/a", ["t"]))["t"].clients == 6
    assert (await clients.room_totals("/b", ["t"]))["t"] == Totals()
    await clients.transfer("/a", "t", ["s2", "t"], is_join=False)
    await clients.transfer("/a", "s1", ["s1"], is_join=False)
    totals = await clients.room_totals("/a", ["t", "s1", "s2"])
    assert [totals[room].clients for room in ("t", "s1", "s2")] == [0, 0, 3]
    assert (await clients.room_totals("/b", ["s1"]))["s1"].clients == 1


async def test_a_rooms_members_are_changed_together(
    clients: SqlClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that were ever in it, in any number of steps, and nobody else."""
    monkeypatch.setattr(lightpush_member_queries, "STEP", 2)
    await clients.arrived([arrival(name) for name in "abcx"] + [arrival("a", of="/b")])
    await clients.enrolled([*members("r", "a", "b", "c"), *members("r", "a", of="/b")])

    await clients.edit_room_mutes("/a", "r", MuteEdit(["r", "s"], ["s"]))
    await clients.set_leave_message("/a", "r", leave_message=False, now=900)

    found = {name: await clients.find("/a", name) for name in "abcx"}
    assert {name: one and (one.muted, one.leave_message) for name, one in found.items()} == {
        "a": (("r",), False),
        "b": (("r",), False),
        "c": (("r",), False),
        "x": ((), None),
    }
    other = await clients.find("/b", "a")
    assert other is not None
    assert (other.muted, other.leave_message) == ((), None)


async def test_who_can_be_told_of_what_he_missed(clients: SqlClients) -> None:
    """Android unless forbidden; iOS also needs a token and must not have muted exactly this room (W35)."""
    names = {"a1": ANDROID, "a2": ANDROID, "i1": IOS, "i2": IOS, "i3": IOS, "i4": IOS, "w": WEB}
    await clients.arrived([arrival(name, platform=kind) for name, kind in names.items()])
    for name, kind in names.items():
        await clients.enrolled([*members("r1", name, platform=kind)])
        if kind is IOS and name != "i2":
            await clients.change("/a", name, ClientChange(device_token=f"t-{name}"), now=1)
    await clients.change("/a", "a2", ClientChange(leave_message=False), now=1)
    await clients.change("/a", "i3", ClientChange(leave_message=False), now=1)
    await clients.edit_mutes("/a", "i1", MuteEdit(["r10"]))
    await clients.edit_mutes("/a", "i4", MuteEdit(["r1"]))

    found = await clients.reachable("/a", "r1", limit=9)

    assert found == [Reachable("a1", ANDROID, ""), Reachable("i1", IOS, "t-i1")]
    assert await clients.reachable("/a", "r1", after="a1", limit=9) == found[1:]
    assert await clients.reachable("/a", "r1", limit=1) == found[:1]
    assert await clients.reachable("/b", "r1", limit=9) == []


async def test_who_is_near(clients: SqlClients) -> None:
    """The nearest client of each user, nearest first, across the date line too; not oneself or the gone."""
    places = {
        "me": ("ann", 179.99, 10.0),
        "west": ("bob", -179.99, 10.0),  # 2.2 km
        "west2": ("bob", -179.98, 10.0),
        "near": ("cyd", 179.99, 10.005),  # 0.6 km
        "far": ("dan", 179.99, 11.0),
        "gone": ("eve", 179.99, 10.0),
        "mine": ("ann", 179.99, 10.05),
    }
    for name, (user, longitude, latitude) in places.items():
        await clients.arrived([arrival(name, user=user), arrival(name, user=user, of="/b")])
        place = ClientChange(longitude=longitude, latitude=latitude)
        await clients.change("/a", name, place, now=1)
    await clients.departed([Departure("/a", "gone", 100, 200)])

    found = await clients.near("/a", "me", radius=10, count=9)

    assert found is not None
    assert [one.id for one in found] == ["near", "west", "mine"]
    assert [round(one.distance, 2) for one in found] == [0.56, 2.19, 5.56]
    two = await clients.near("/a", "me", radius=10, count=2)
    assert two is not None
    assert [one.id for one in two] == ["near", "west"]
    assert await clients.near("/a", "gone", radius=10, count=9) is None
    assert await clients.near("/b", "me", radius=10, count=9) is None
    assert await clients.near("/a", "nobody", radius=10, count=9) is None


async def test_zombies_are_forgotten(clients: SqlClients) -> None:
    """With all that is theirs; who has come again meanwhile stays, and so do other namespaces."""
    await clients.arrived([arrival("c1", 1), arrival("c2", 2), arrival("c3", 900)])
    await clients.arrived([arrival("c1", 1, of="/b")])
    await clients.enrolled([*members("r", "c1", "c2", "c3"), *members("r", "c1", of="/b")])
    await clients.edit_mutes("/a", "c1", MuteEdit(["r"]))

    old = await clients.legacy("/a", before=500, limit=9)
    assert old == ["c1", "c2"]
    assert await clients.legacy("/a", before=500, after="c1", limit=9) == ["c2"]
    await clients.arrived([arrival("c2", 800)])

    assert await clients.forget("/a", old, before=500) == ["c1"]

    assert await clients.find("/a", "c1") is None
    assert await clients.mutes("/a", "c1") == []
    assert await clients.room_totals("/a", ["r"]) == {"r": Totals(2)}
    assert await clients.room_totals("/b", ["r"]) == {"r": Totals(1)}


async def test_a_namespace_is_cleared(clients: SqlClients) -> None:
    """Of it nothing is left, of others all."""
    for of in ("/a", "/b"):
        await clients.arrived([arrival("c", of=of)])
        await clients.enrolled(members("r", "c", of=of))
        await clients.edit_mutes(of, "c", MuteEdit(["r"]))

    await clients.clear("/a")

    assert await clients.totals(["/a", "/b"]) == {"/a": 0, "/b": 1}
    assert await clients.room_totals("/a", ["r"]) == {"r": Totals()}
    assert await clients.mutes("/a", "c") == []
    assert await clients.room_totals("/b", ["r"]) == {"r": Totals(1)}
    assert await clients.mutes("/b", "c") == ["r"]
