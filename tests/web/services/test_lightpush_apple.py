"""Apple is told of what iOS clients have missed: through which configuration, until when, and how often."""

from pathlib import Path

import pytest

from appmodel.core.lightpush import Platform
from appmodel.core.lightpush_records import ClientChange, Hidden, Job, Progress
from appmodel.io.database import Database
from appmodel.io.lightpush_pushes import SqlPushBook
from tests.web.absent import AUTHORITY, HOUR, Absent, opened
from tests.web.gateways.apple import TOPIC, apple_error, device_token
from tests.web.gateways.h2_server import CUT, RESET, Action, Asked, Reply

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

BUSY = apple_error(503, "ServiceUnavailable")


async def test_apple_gets_the_apns_data_and_nothing_else(
    database: Database, tmp_path: Path
) -> None:
    """As it is, with an alert; until the push expires; what comes twice replaces itself."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        await absent.phone("i1", 1)
        data = {"aps": {"badge": 3, "mutable-content": 1}, "order": [7, None]}
        push_id = await absent.push(pushData={"text": "hi", "apsData": data}, expire=2)

        assert await absent.work() == ["done"]

        [asked] = absent.apple.server.asked
        expected = data | {"aps": {"badge": 3, "mutable-content": 1, "alert": "通知"}}
        assert absent.bodies == [expected]
        assert asked.headers["apns-topic"] == TOPIC
        assert asked.headers["apns-priority"] == "10"
        assert asked.headers["apns-push-type"] == "alert"
        assert asked.headers["apns-collapse-id"] == str(push_id)
        end = (absent.clock.ms - 5000 + 2 * HOUR) // 1000
        assert asked.headers["apns-expiration"] == str(end)
        report = await absent.report(push_id)
        assert (report.apns_count, report.apns_success_count) == (1, 1)
        assert report.result == "apnsEnv:production"


async def test_a_push_names_its_configuration(database: Database, tmp_path: Path) -> None:
    """One of its own namespace, at its end and with its environment."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/demo", "other", topic="wrong.topic")
        await absent.configure("/demo", "main", environment="dev", expiration="4200000000")
        await absent.phone("i1", 1)
        push_id = await absent.push(apnsName="main")

        assert await absent.work() == ["done"]

        assert absent.apple.server.asked[0].headers["apns-expiration"] == "4200000000"
        assert (await absent.report(push_id)).result == "apnsEnv:development"


async def test_without_a_configuration_nobody_is_told(database: Database, tmp_path: Path) -> None:
    """The report says so; what another namespace calls so serves nobody else, and inboxes are filled."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/demo", "default")
        await absent.configure("/other", "main")
        await absent.phone("i1", 1)
        android = await absent.client("a1", Platform.ANDROID)
        ids = [await absent.push(), await absent.push(apnsName="main")]

        assert await absent.work() == ["done", "done"]

        results = [(await absent.report(one)).result for one in ids]
        assert results == ["no default apns", "apnsName:main not exists"]
        assert (await absent.report(ids[0])).apns_count == 0
        assert absent.apple.server.asked == []
        assert await absent.inbox(android) == ids[::-1]


async def test_a_certificate_proves_it_too(database: Database, tmp_path: Path) -> None:
    """That of the environment; its subject says the topic."""
    async with opened(database, tmp_path) as absent:
        pair = AUTHORITY.issue("Apple Push Services", uid=TOPIC)
        start = pair.index("-----BEGIN PRIVATE")
        unset = dict.fromkeys(("token_key", "topic", "environment"))
        cert, key = Hidden(pair[:start]), Hidden(pair[start:])
        await absent.configure("/", "default", **unset, dev_cert=cert, dev_key=key)
        await absent.phone("i1", 1)
        push_id = await absent.push()

        assert await absent.work() == ["done"]

        assert absent.apple.server.asked[0].certified
        assert (await absent.report(push_id)).result == "apnsEnv:development"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"topic": None}, "topic"),
        ({"token_key": Hidden("-----BEGIN nothing")}, "content.key"),
        ({"token_key_id": "k"}, "content.key_id"),
    ],
)
async def test_a_configuration_that_cannot_be_used(
    database: Database, tmp_path: Path, fields: dict[str, object], why: str
) -> None:
    """The report names the field, and shows no secret."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default", **fields)
        await absent.phone("i1", 1)
        push_id = await absent.push()

        assert await absent.work() == ["done"]

        result = (await absent.report(push_id)).result or ""
        assert result.startswith("apnsEnv:production  >>>>  apnProvider not exists: ")
        assert why in result
        assert "BEGIN" not in result
        assert absent.apple.server.asked == []


async def test_a_path_is_no_certificate(database: Database, tmp_path: Path) -> None:
    """Not even one that is good: nothing of this machine is read (W25)."""
    async with opened(database, tmp_path) as absent:
        path = tmp_path / "pair.pem"
        path.write_text(AUTHORITY.issue("x", uid=TOPIC))
        place = Hidden(str(path))
        fields = {"token_key": None, "production_cert": place, "production_key": place}
        await absent.configure("/", "default", **fields)
        await absent.phone("i1", 1)
        push_id = await absent.push()

        assert await absent.work() == ["done"]

        assert "apnProvider not exists" in ((await absent.report(push_id)).result or "")
        assert absent.apple.server.asked == []


@pytest.mark.parametrize(
    "reply",
    [
        Reply(410),
        apple_error(400, "BadDeviceToken"),
        apple_error(400, "DeviceTokenNotForTopic"),
        apple_error(400, "Unregistered"),
    ],
)
async def test_a_dead_token_is_forgotten(database: Database, tmp_path: Path, reply: Reply) -> None:
    """At the first word of Apple; the others hear of it, and the report names the client."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        clients = [await absent.phone(f"i{number}", number) for number in (1, 2)]
        absent.apple.said[device_token(1)] = reply
        push_id = await absent.push()
        worker = absent.worker(concurrency=1)

        assert await absent.work(worker) == ["done"]

        assert [await absent.token(one) for one in clients] == ["", device_token(2)]
        assert absent.notified == {1: 1, 2: 1}
        assert worker.telling.forgotten == 1
        report = await absent.report(push_id)
        assert (report.apns_count, report.apns_success_count) == (2, 1)
        assert (report.result or "").startswith(f"apnsEnv:production  >>>>  {clients[0]}:")


async def test_a_token_that_is_none_is_forgotten_unasked(
    database: Database, tmp_path: Path
) -> None:
    """It would be a part of a path at Apple."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        client = await absent.phone("i1", 1, device_token="../../x")
        await absent.push()

        assert await absent.work() == ["done"]

        assert await absent.token(client) == ""
        assert absent.apple.server.asked == []


async def test_a_refusal_is_no_reason_to_forget(database: Database, tmp_path: Path) -> None:
    """Nor to try again."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        client = await absent.phone("i1", 1)
        absent.apple.always = apple_error(400, "BadExpirationDate")
        push_id = await absent.push()

        assert await absent.work() == ["done"]

        assert await absent.token(client) == device_token(1)
        note = f"apnsEnv:production  >>>>  {client}:BadExpirationDate"
        assert (await absent.report(push_id)).result == note


@pytest.mark.parametrize(
    "trouble",
    [BUSY, apple_error(429, "TooManyRequests"), RESET],
)
async def test_whom_apple_does_not_take_now_hears_of_it_later(
    database: Database, tmp_path: Path, trouble: Reply | Action
) -> None:
    """And nobody hears of it twice, nor waits for that client: it is counted once, and noted once."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        clients = [await absent.phone(f"i{number}", number) for number in (1, 2, 3)]
        absent.apple.said[device_token(1)] = trouble
        push_id = await absent.push()

        assert await absent.work() == ["postponed"]
        assert absent.notified == {1: 1, 2: 1, 3: 1}
        assert await absent.work() == []
        absent.clock.ms += 1000
        assert await absent.work() == ["postponed"]
        absent.clock.ms += 1999
        assert await absent.work() == []
        del absent.apple.said[device_token(1)]
        absent.clock.ms += 1
        assert await absent.work() == ["done"]

        assert absent.notified == {1: 3, 2: 1, 3: 1}
        report = await absent.report(push_id)
        assert (report.apns_count, report.apns_success_count) == (3, 3)
        assert (report.result or "").count(clients[0]) == 1
        assert (report.result or "").count("apnsEnv") == 1


async def test_apple_says_how_long_it_wants_to_be_left_alone(
    database: Database, tmp_path: Path
) -> None:
    """If that is longer than our own pause; also if others were told since."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        await absent.phone("i1", 1)
        busy = apple_error(429, "TooManyRequests")
        absent.apple.always = Reply(429, [*busy.headers, ("retry-after", "90")], busy.pieces)
        await absent.push()

        for _ in range(2):
            assert await absent.work() == ["postponed"]
            absent.clock.ms += 89_999
            assert await absent.work() == []
            absent.clock.ms += 1
        absent.apple.always = None
        assert await absent.work() == ["done"]


@pytest.mark.parametrize("trouble", [BUSY, CUT])
async def test_apple_is_away(database: Database, tmp_path: Path, trouble: Reply | Action) -> None:
    """Then it is asked for a few clients only, and again for these; when it is back all hear of it once.

    Inboxes do not wait for Apple.
    """
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        for number in range(9):
            await absent.phone(f"i{number}", number)
        android = await absent.client("z1", Platform.ANDROID)
        absent.apple.always = trouble
        push_id = await absent.push()
        worker = absent.worker(page=4, concurrency=3)

        for attempt in (1, 2, 3):
            assert await absent.work(worker) == ["postponed"]
            assert set(absent.notified) <= {0, 1, 2}  # who shares a connection is cut off with it
            assert max(absent.notified.values()) <= attempt
            absent.clock.ms += 4000
        assert await absent.inbox(android) == [push_id]
        absent.apple.always = None
        assert await absent.work(worker) == ["done"]

        assert set(absent.notified) == set(range(9))
        assert [absent.notified[number] for number in range(3, 9)] == [1] * 6
        report = await absent.report(push_id)
        assert (report.apns_count, report.apns_success_count) == (9, 9)


async def test_apple_is_not_there_at_all(database: Database, tmp_path: Path) -> None:
    """Nobody listens: the job waits, and is forgotten when its push has expired."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        client = await absent.phone("i1", 1)
        push_id = await absent.push()
        worker = absent.worker()
        absent.apple.server.stop()

        assert await absent.work(worker) == ["postponed"]

        report = await absent.report(push_id)
        assert (report.apns_count, report.apns_success_count) == (1, 0)
        assert f"{client}:" in (report.result or "")
        absent.clock.ms += HOUR
        assert await absent.work(worker) == []


async def test_who_is_owed_may_have_changed_his_mind(database: Database, tmp_path: Path) -> None:
    """Acknowledged, muted, gone or with another token meanwhile: that counts at the next try."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        names = ["acks", "moved", "quiet"]
        clients = {name: await absent.phone(name, at) for at, name in enumerate(names)}
        absent.apple.always = BUSY
        push_id = await absent.push()
        assert await absent.work() == ["postponed"]

        await absent.acknowledge(push_id, clients["acks"], Platform.IOS)
        for name, change in (
            ("moved", ClientChange(device_token=device_token(9))),
            ("quiet", ClientChange(leave_message=False)),
        ):
            await absent.clients.change("/demo", clients[name], change, now=absent.clock.ms)
        absent.apple.always = None
        absent.clock.ms += 1000
        assert await absent.work() == ["done"]

        assert absent.notified == {0: 1, 1: 1, 2: 1, 9: 1}


async def test_a_wrong_configuration_is_not_tried_for_everybody(
    database: Database, tmp_path: Path
) -> None:
    """Apple would say the same of each."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        clients = [await absent.phone(f"i{number}", number) for number in range(5)]
        absent.apple.always = apple_error(403, "InvalidProviderToken")
        push_id = await absent.push()

        assert await absent.work(absent.worker(concurrency=1)) == ["done"]

        assert absent.notified == {0: 1}
        note = f"apnsEnv:production  >>>>  {clients[0]}:InvalidProviderToken"
        assert (await absent.report(push_id)).result == note


async def test_a_configuration_that_changes_counts_at_once(
    database: Database, tmp_path: Path
) -> None:
    """For whoever is owed too; jobs of one configuration share its connection (W23)."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        await absent.phone("i1", 1)
        absent.apple.always = BUSY
        await absent.push()
        ways = absent.ways()
        assert await absent.work(absent.worker(ways)) == ["postponed"]

        pair = Hidden(AUTHORITY.issue("Apple Push Services", uid=TOPIC))
        fields = {"production_cert": pair, "production_key": pair, "token_key": None}
        await absent.configure("/", "default", **fields)
        absent.apple.always = None
        await absent.push()
        assert await absent.work(absent.worker(ways)) == ["done", "done"]

        assert [asked.certified for asked in absent.apple.server.asked] == [False, True, True]
        assert absent.apple.server.connections == 2
        assert absent.apple.server.open == 1


async def test_so_many_are_owed_and_no_more(database: Database, tmp_path: Path) -> None:
    """The room goes on without them, as long as there is a place for one more."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        for number in range(6):
            await absent.phone(f"i{number}", number)
        absent.apple.said = {device_token(number): BUSY for number in (0, 1, 3, 4, 5)}
        await absent.push()
        worker = absent.worker(page=3, concurrency=3)

        assert await absent.work(worker) == ["postponed"]

        assert absent.notified == {0: 1, 1: 1, 2: 1, 3: 1}
        absent.apple.said.clear()
        absent.clock.ms += 1000
        assert await absent.work(worker) == ["done"]
        assert absent.notified == {0: 2, 1: 2, 2: 1, 3: 2, 4: 1, 5: 1}


async def test_who_is_owed_is_not_forgotten_by_a_node_that_stops(
    database: Database, tmp_path: Path
) -> None:
    """Nor is anybody told in haste."""
    async with opened(database, tmp_path) as absent:
        await absent.configure("/", "default")
        for number in range(2):
            await absent.phone(f"i{number}", number)
        absent.apple.always = BUSY
        await absent.push()
        assert await absent.work() == ["postponed"]
        absent.clock.ms += 1000
        absent.apple.always = None
        [job] = await absent.pushes.claim_jobs(now=absent.clock.ms, lease=HOUR, limit=9)

        stopping = await absent.worker().offline.work(job, may_go_on=lambda: False)

        assert stopping == "returned"
        assert absent.notified == {0: 1, 1: 1}
        assert await absent.work() == ["done"]
        assert absent.notified == {0: 2, 1: 2}


class Noting(SqlPushBook):
    """Says what was noted of jobs."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.tried: list[int] = []

    async def advance(self, job: Job, progress: Progress, *, until: int) -> bool:
        self.tried.append(progress.apns_count)
        return await super().advance(job, progress, until=until)


async def test_a_step_ends_before_its_lease(database: Database, tmp_path: Path) -> None:
    """However slow Apple is: what is not begun in a third of the lease is the next step's."""
    async with opened(database, tmp_path) as absent:
        absent.pushes = book = Noting(database)
        await absent.configure("/", "default")
        for number in range(3):
            await absent.phone(f"i{number}", number)
        await absent.push()
        slow_down(absent)

        assert await absent.work(absent.worker(concurrency=1)) == ["done"]

        assert absent.notified == {0: 1, 1: 1, 2: 1}
        assert book.tried == [0, 1, 1, 1]  # inboxes; Apple


def slow_down(absent: Absent) -> None:
    """Each answer of Apple takes 21 seconds, a third of a lease and a little."""
    answer = absent.apple.server.answer

    def slow(asked: Asked) -> Reply | Action:
        absent.clock.ms += 21_000
        return answer(asked)

    absent.apple.server.answer = slow
