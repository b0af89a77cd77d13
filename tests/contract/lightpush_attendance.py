"""What every store of who is present keeps to. A subclass only has a fixture that opens one."""

import trio

from appmodel.core.lightpush import Platform
from appmodel.core.lightpush_records import (
    AttendanceNews,
    Lists,
    Overview,
    Presence,
    Process,
    RoomOverview,
    Seat,
)
from appmodel.core.lightpush_stores import Attendance

C1, C2 = Process("c1", 7), Process("c2", 8)
MOST = 10
WEB, IOS, ANDROID = Platform.WEB, Platform.IOS, Platform.ANDROID


def a_client(
    name: str, user: str = "ann", platform: Platform = WEB, *, of: str = "/a", at: int = 100
) -> Presence:
    """Connected at `at`."""
    return Presence(of, name, user, platform, at)


def came(*clients: Presence, rooms: str = "") -> AttendanceNews:
    """They come, and join these rooms: single letters."""
    seats = [Seat(one.namespace, room, one.client) for one in clients for room in rooms]
    return AttendanceNews(came=clients, joined=seats)


def went(*clients: Presence) -> AttendanceNews:
    """They go."""
    return AttendanceNews(went=[(one.namespace, one.client) for one in clients])


PHONE, TABLET, BROWSER = (
    a_client("p", "ann", IOS),
    a_client("t", "ann", ANDROID),
    a_client("b", "bob"),
)


class AttendanceContract:
    """The suite. A subclass has a fixture `store`: an empty Attendance."""

    async def test_who_comes_is_counted(self, store: Attendance) -> None:
        """Clients, users and ordinary rooms of a namespace, and who is in a room, by platform."""
        await store.record(C1, came(PHONE, BROWSER, rooms="rs"))
        await store.record(C2, came(TABLET, rooms="r"))
        await store.record(C1, AttendanceNews(joined=[Seat("/a", "user_ann", "p")]))

        assert await store.overviews(["/a"]) == {"/a": Overview(rooms=2, users=2, clients=3)}
        assert await store.rooms("/a", ["r", "s", "none", "user_ann"]) == {
            "r": RoomOverview(users=2, clients=3, ios=1, android=1),
            "s": RoomOverview(users=2, clients=2, ios=1),
            "none": RoomOverview(),
            "user_ann": RoomOverview(users=0, clients=1, ios=1),
        }
        assert await store.is_present("/a", "r", "t")
        assert not await store.is_present("/a", "s", "t")

    async def test_everybody_is_listed_up_to_a_limit(self, store: Attendance) -> None:
        """Sorted; what is more than may be listed is None, and the rest is there."""
        await store.record(C1, came(PHONE, BROWSER, TABLET, rooms="sr"))
        await store.record(C1, AttendanceNews(joined=[Seat("/a", "USER_x", "p")]))

        everybody = Lists(["r", "s"], ["b", "p", "t"], ["ann", "bob"])
        assert await store.lists("/a", most=MOST) == everybody
        assert await store.lists("/a", most=2) == Lists(["r", "s"], None, ["ann", "bob"])
        assert await store.room_lists("/a", ["r", "none", "USER_x"], most=MOST) == {
            "r": Lists([], ["b", "p", "t"], ["ann", "bob"]),
            "none": Lists([], [], []),
            "USER_x": Lists([], ["p"], []),
        }
        assert (await store.room_lists("/a", ["r"], most=1))["r"] == Lists([], None, None)

    async def test_who_leaves_a_room_is_not_in_it(self, store: Attendance) -> None:
        """A room is gone with its last member; leaving one in which one is not changes nothing."""
        await store.record(C1, came(PHONE, BROWSER, rooms="rs"))

        left = [Seat("/a", "r", "p"), Seat("/a", "s", "p"), Seat("/a", "s", "b")]
        await store.record(C1, AttendanceNews(left=[*left, Seat("/a", "none", "p")]))

        assert await store.overviews(["/a"]) == {"/a": Overview(rooms=1, users=2, clients=2)}
        assert (await store.rooms("/a", ["r"]))["r"] == RoomOverview(users=1, clients=1)
        assert await store.seats_of(C1, "/a", "p") == []
        assert await store.seats_of(C1, "/a", "b") == ["r"]

    async def test_who_goes_is_nowhere(self, store: Attendance) -> None:
        """In no room, and no user is left behind; the others stay."""
        await store.record(C1, came(PHONE, TABLET, BROWSER, rooms="r"))

        await store.record(C1, went(PHONE, BROWSER))

        assert await store.overviews(["/a"]) == {"/a": Overview(rooms=1, users=1, clients=1)}
        assert (await store.room_lists("/a", ["r"], most=MOST))["r"] == Lists([], ["t"], ["ann"])
        await store.record(C1, went(TABLET))
        assert await store.overviews(["/a"]) == {"/a": Overview()}
        assert await store.lists("/a", most=MOST) == Lists([], [], [])

    async def test_any_batch_may_be_repeated(self, store: Attendance) -> None:
        """As after an unknown outcome."""
        for _ in range(2):
            await store.record(C1, came(PHONE, BROWSER, rooms="rs"))
        for _ in range(2):
            await store.record(C1, AttendanceNews(left=[Seat("/a", "r", "p")]))
        for _ in range(2):
            await store.record(C1, went(BROWSER))

        assert await store.overviews(["/a"]) == {"/a": Overview(rooms=1, users=1, clients=1)}
        assert await store.rooms("/a", ["r", "s"]) == {
            "r": RoomOverview(),
            "s": RoomOverview(users=1, clients=1, ios=1),
        }

    async def test_one_batch_is_carried_out_in_its_order(self, store: Attendance) -> None:
        """Who went and came again is there, and only in the rooms that it joined after that."""
        await store.record(C1, came(PHONE, rooms="rs"))
        again = PHONE._replace(at=200)

        gone = [("/a", "p")]
        seats = [Seat("/a", "t", "p"), Seat("/a", "t", "nobody")]
        await store.record(C1, AttendanceNews(went=gone, came=[again], joined=seats))

        assert await store.present_at(C1, limit=MOST) == [again]
        assert await store.seats_of(C1, "/a", "p") == ["t"]
        assert (await store.rooms("/a", ["t"]))["t"].clients == 1

    async def test_a_client_at_two_processes_is_one(self, store: Attendance) -> None:
        """And stays until both of them say that it went (W12)."""
        await store.record(C1, came(PHONE, rooms="r"))
        await store.record(C2, came(PHONE._replace(at=200), rooms="r"))

        assert await store.overviews(["/a"]) == {"/a": Overview(rooms=1, users=1, clients=1)}
        assert (await store.rooms("/a", ["r"]))["r"] == RoomOverview(users=1, clients=1, ios=1)
        await store.record(C1, went(PHONE))
        assert await store.is_present("/a", "r", "p")
        assert (await store.rooms("/a", ["r"]))["r"] == RoomOverview(users=1, clients=1, ios=1)
        await store.record(C2, went(PHONE))
        assert await store.overviews(["/a"]) == {"/a": Overview()}

    async def test_processes_write_at_once(self, store: Attendance) -> None:
        """About the same clients and rooms: what each says of itself holds in the end."""
        clients = [a_client(f"c{n}") for n in range(20)]

        async def live(process: Process, stays: int) -> None:
            for _ in range(3):
                await store.record(process, came(*clients, rooms="rs"))
                await store.record(process, went(*clients[stays:]))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(live, C1, 3)
            nursery.start_soon(live, C2, 5)

        assert await store.overviews(["/a"]) == {"/a": Overview(rooms=2, users=1, clients=5)}
        assert (await store.rooms("/a", ["r"]))["r"] == RoomOverview(users=1, clients=5)
        assert (await store.count_at(C1), await store.count_at(C2)) == ((3, 6), (5, 10))

    async def test_namespaces_never_meet(self, store: Attendance) -> None:
        """Equal clients, users and rooms, and names that could be joined to the same text (W27)."""
        await store.record(C1, came(PHONE, rooms="r"))
        others = [a_client("p", "ann", IOS, of="/a_b"), a_client("p", "bob", of="/b")]
        seats = [Seat("/a_b", "c", "p"), Seat("/b", "r", "p")]
        await store.record(C1, AttendanceNews(came=others, joined=seats))

        assert await store.overviews(["/a", "/a_b", "/b", "/c"]) == {
            "/a": Overview(1, 1, 1),
            "/a_b": Overview(1, 1, 1),
            "/b": Overview(1, 1, 1),
            "/c": Overview(),
        }
        assert await store.platform() == Overview(3, 3, 3)
        assert (await store.rooms("/a", ["b_c", "c"])) == dict.fromkeys(
            ["b_c", "c"], RoomOverview()
        )
        await store.clear("/a")
        assert await store.platform() == Overview(2, 2, 2)
        assert await store.is_present("/b", "r", "p")
        assert not await store.is_present("/a", "r", "p")

    async def test_a_process_can_be_gone_through(self, store: Attendance) -> None:
        """Page by page, and each page be swept; nothing of it is left then."""
        clients = [a_client(f"c{n}", of=of) for of in ("/a", "/b") for n in range(3)]
        await store.record(C1, came(*clients, rooms="rs"))
        await store.record(C2, came(BROWSER, rooms="r"))

        assert sorted(await store.processes()) == [C1, C2]
        assert await store.count_at(C1) == (6, 12)
        first = await store.present_at(C1, limit=4)
        assert first == clients[:4]
        after = first[-1].namespace, first[-1].client
        assert await store.present_at(C1, after=after, limit=4) == clients[4:]
        while page := await store.present_at(C1, limit=4):
            await store.record(C1, went(*page))

        assert await store.processes() == [C2]
        assert await store.count_at(C1) == (0, 0)
        assert await store.overviews(["/a", "/b"]) == {
            "/a": Overview(rooms=1, users=1, clients=1),
            "/b": Overview(),
        }

    async def test_a_namespace_can_be_gone_through(self, store: Attendance) -> None:
        """Client by client, each once, at whichever processes; and be cleared."""
        await store.record(C1, came(PHONE, TABLET, BROWSER, rooms="r"))
        await store.record(C2, came(PHONE._replace(at=200), rooms="r"))

        first = await store.online("/a", limit=2)
        assert first == [BROWSER, PHONE._replace(at=200)]
        assert await store.online("/a", after="p", limit=2) == [TABLET]

        await store.clear("/a")

        assert await store.online("/a", limit=2) == []
        assert await store.processes() == []
        await store.record(C1, AttendanceNews(joined=[Seat("/a", "r", "p")]))
        assert await store.overviews(["/a"]) == {"/a": Overview()}

    async def test_a_batch_may_be_of_any_size(self, store: Attendance) -> None:
        """It is cut where a server wants less at a time, and its order holds."""
        clients = [a_client(f"c{n:04}") for n in range(1100)]
        await store.record(C1, came(clients[0], rooms="s"))

        gone = went(*clients).went
        news = came(*clients, rooms="r")
        await store.record(C1, AttendanceNews(went=gone, came=news.came, joined=news.joined))

        assert await store.count_at(C1) == (1100, 1100)
        assert await store.overviews(["/a"]) == {"/a": Overview(rooms=1, users=1, clients=1100)}
        await store.clear("/a")
        assert await store.count_at(C1) == (0, 0)

    async def test_nothing_is_no_question(self, store: Attendance) -> None:
        """Empty batches and questions are ones."""
        await store.record(C1, AttendanceNews())

        assert await store.overviews([]) == {}
        assert await store.rooms("/a", []) == {}
        assert await store.room_lists("/a", [], most=MOST) == {}
        assert await store.platform() == Overview()
        assert await store.processes() == []
