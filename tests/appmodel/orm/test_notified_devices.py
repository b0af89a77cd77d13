"""Who is notified, on every database."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.io.database import Database
from appmodel.orm.devices import ApnsToken, PushDevice
from appmodel.orm.notified_devices import (
    NotifiedDevice,
    forget_device,
    last_seen,
    offline_devices,
)
from appmodel.orm.people import Client, UserToken
from appmodel.orm.presence import Session as SessionRow

MORNING = datetime(2026, 7, 1, 8, tzinfo=UTC)
NOON = MORNING + timedelta(hours=4)


def apns(user: str, device: str, token: str, at: datetime = MORNING) -> ApnsToken:
    """A registered phone."""
    return ApnsToken(user_id=user, device_id=device, apns_token=token, created=at, updated=at)


def other(user: str, device: str, address: str, provider: str = "fcm") -> PushDevice:
    """A registered device of another provider."""
    digest = hashlib.sha256(address.encode()).hexdigest()
    return PushDevice(
        user_id=user,
        device_id=device,
        address=address,
        address_digest=digest,
        provider=provider,
        created=MORNING,
        updated=MORNING,
    )


def online(session_id: str) -> SessionRow:
    """A connected device."""
    return SessionRow(id=session_id, user_id=session_id.partition("_")[0])


async def kept(database: Database, *rows: ApnsToken | PushDevice | SessionRow) -> None:
    """The database holds these."""

    def keep(session: Session) -> None:
        session.add_all(rows)

    await database.write(keep)


async def found(database: Database, *user_ids: str) -> list[NotifiedDevice]:
    """Who is notified, by token."""
    devices = await database.read(lambda session: offline_devices(session, user_ids))
    return sorted(devices, key=lambda device: device.token)


async def tokens(database: Database, *user_ids: str) -> list[str]:
    """Only their tokens."""
    return [device.token for device in await found(database, *user_ids)]


async def test_devices_of_the_addressed_users_alone(database: Database) -> None:
    """Of all providers, and of nobody else."""
    await kept(database, apns("u1", "d1", "a"), other("u1", "d2", "b"), apns("u2", "d1", "c"))

    devices = await found(database, "u1", "u3")

    assert devices == [
        NotifiedDevice("apns", "u1", "d1", "a", MORNING),
        NotifiedDevice("fcm", "u1", "d2", "b", MORNING),
    ]


async def test_a_device_that_is_online_is_not_notified(database: Database) -> None:
    """The others of the same user are: by session, whatever the token's text."""
    await kept(database, apns("u1", "d1", "a"), apns("u1", "d2", "b"), other("u1", "d3", "c"))
    await kept(database, online("u1_iOS-d1"), online("u1_Android-d3"), online("u2_iOS-d2"))

    assert await tokens(database, "u1", "u2") == ["b"]


@pytest.mark.parametrize("device", ["a-b", "a_b", "-", "_x-", "5.0-8341"])
async def test_device_ids_may_hold_the_marks_of_sessions(database: Database, device: str) -> None:
    """All behind the type is the device."""
    await kept(database, apns("u1", device, "a"), online(f"u1_iOS-{device}"))

    assert await tokens(database, "u1") == []


@pytest.mark.parametrize("session", ["u1_x", "u1_", "u1_iOS-", "u1_iOS"])
async def test_a_session_without_a_device_hides_none(database: Database, session: str) -> None:
    """It ended the original's process."""
    await kept(database, apns("u1", "d1", "a"), apns("u1", "", "b"), online(session))

    assert await tokens(database, "u1") == ["a", "b"]


async def test_an_adopted_row_is_online_only_by_its_token(database: Database) -> None:
    """Its device id is its token: that is what the original wrote, and compared."""
    await kept(database, apns("u1", "token1", "token1"), apns("u1", "token2", "token2"))
    await kept(database, online("u1_iOS-token1"), online("u1_iOS-d9"))

    assert await tokens(database, "u1") == ["token2"]


async def test_a_device_is_found_once(database: Database) -> None:
    """However many sessions its user has; by its newest token, if it had several."""
    await kept(database, apns("u1", "d1", "old"), apns("u1", "d1", "new", NOON))
    await kept(database, apns("u1", "", "x"), apns("u1", "", "y"))
    await kept(database, *[online(f"u1_web-{number}") for number in range(3)])

    assert await tokens(database, "u1") == ["new", "x", "y"]


async def test_two_statements_whatever_the_number(database: Database) -> None:
    """A group of a thousand costs what one user costs; who has no device costs one."""
    users = [f"u{number}" for number in range(1000)]
    await kept(database, *[apns(user, "d", f"t{user}") for user in users])

    def count(session: Session) -> tuple[int, int, int]:
        session.connection()  # a new one has something to say first
        start = database.statements
        assert len(offline_devices(session, users)) == 1000
        middle = database.statements
        assert offline_devices(session, ["nobody"]) == []
        return start, middle, database.statements

    start, middle, end = await database.read(count)
    assert (middle - start, end - middle) == (2, 1)


async def test_rows_without_a_time_are_found(database: Database) -> None:
    """Adopted databases have them."""
    await kept(database, apns("u1", "d1", "a"))
    timeless = sa.update(ApnsToken).values(created=None, updated=None)
    await database.write(lambda session: [session.execute(timeless)])

    (device,) = await found(database, "u1")

    assert device.registered == datetime.fromtimestamp(0, UTC)


async def test_when_users_were_here_last(database: Database) -> None:
    """By the last use of a login, or by the last login if those are over."""
    hour = timedelta(hours=1)

    def keep(session: Session) -> None:
        for digest, user, ends in [("a", "u1", NOON), ("b", "u1", NOON + hour), ("c", "u2", NOON)]:
            session.add(UserToken(digest=digest, user_id=user, expires=ends))
        for user, at in [("u2", NOON), ("u3", MORNING), ("u3", NOON), ("u4", None)]:
            session.add(Client(user_id=user, type=str(at), latest_login_time=at))
        session.flush()
        timeless = sa.update(Client).where(Client.user_id == "u4").values(latest_login_time=None)
        session.execute(timeless)

    await database.write(keep)

    users = ["u1", "u2", "u3", "u4", "u5"]
    seen = await database.read(lambda session: last_seen(session, users, 2 * hour))

    assert seen == {"u1": NOON - hour, "u2": NOON, "u3": NOON}


@pytest.mark.parametrize("provider", ["apns", "fcm"])
async def test_a_dead_token_is_forgotten(database: Database, provider: str) -> None:
    """It, and no other."""
    rows = [apns("u1", "d1", "dead"), apns("u1", "d2", "a")]
    others = [other("u1", "d3", "dead"), other("u1", "d4", "b")]
    await kept(database, *rows, *others)

    assert await database.write(lambda s: forget_device(s, provider, "dead", MORNING))
    assert not await database.write(lambda s: forget_device(s, provider, "dead", MORNING))

    left = await found(database, "u1")
    assert len(left) == 3
    assert [device.provider for device in left if device.token == "dead"] == [
        "fcm" if provider == "apns" else "apns"
    ]


async def test_a_token_that_was_registered_again_stays(database: Database) -> None:
    """The provider's news is older than the phone's."""
    await kept(database, apns("u1", "d1", "a", NOON))

    assert not await database.write(lambda s: forget_device(s, "apns", "a", MORNING))
    assert await tokens(database, "u1") == ["a"]
    assert await database.write(lambda s: forget_device(s, "apns", "a", NOON))
