"""The door on a socket: handshakes, plain requests, and connections that find no place."""

import pytest

from appmodel.core.units import Duration
from appmodel.io.database import Database
from comet.config import CometConfig, LimitsConfig
from tests.comet.devices import HANDSHAKE, open_mpush
from tests.comet.several import FAST
from tests.comet.world import UPGRADED, changed

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


async def test_a_handshake_is_answered_byte_for_byte(database: Database) -> None:
    """Version 8 too, with a query and an Origin of any page, and what follows in one piece is heard."""
    async with open_mpush(database) as place:
        phone = await place.connect()
        request = HANDSHAKE.format(
            target="/a?b=c", version=8, more="Origin: https://evil.example\r\n"
        )
        await phone.send(request.encode() + b"\x81\x85\0\0\0\0mpush\x81\x84\0\0\0\0test")

        head = await phone.read_until(b"\r\n\r\n")

        assert [line for line in head.split(b"\r\n") if not line.startswith(b"Date:")] == UPGRADED
        assert (await phone.packet("AUTH"))["code"] == 200
        assert await phone.packet("LOGIN") == {"name": "test"}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS", "DELETE"])
async def test_a_plain_request_is_answered_and_ends_nothing(
    database: Database, method: str
) -> None:
    """426 for any method and path."""
    async with open_mpush(database) as place:
        phone = await place.connect()

        await phone.send(f"{method} /x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())

        head = await phone.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 426 "), head
        assert await phone.read(16) == b"Upgrade Required"
        await place.device("test")


async def test_a_name_that_points_home_is_refused(database: Database) -> None:
    """With the well-known token a page could reach us by a name that an attacker makes point to 127.0.0.1."""
    async with open_mpush(database) as place:
        phone = await place.connect()
        request = HANDSHAKE.format(target="/", version=13, more="").replace(
            "127.0.0.1", "evil.example"
        )

        await phone.send(request.encode())

        assert (await phone.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 403 ")


async def test_who_finds_no_place_is_closed(database: Database) -> None:
    """Above the comet's limit, and while it drains; places are given back."""
    config: CometConfig = changed(FAST, "limits", connections=1)
    assert isinstance(config.limits, LimitsConfig)
    async with open_mpush(database, comet=config) as place:
        first = await place.device("test")
        assert await (await place.phone()).ends() == b""

        await first.say(b"", opcode=0x8)
        await first.ends()
        await place.world().until(lambda: place.world().comet.live.gate.connections == 0)
        await place.device("test")
        place.world().comet.reception.draining = True

        assert await (await place.phone()).ends() == b""


async def test_a_node_that_goes_says_goodbye(database: Database) -> None:
    """Each connection gets its close frame; what was acknowledged is written."""
    async with open_mpush(
        database, comet=changed(FAST, "live", goodbye_timeout=Duration(0.1))
    ) as place:
        phone = await place.device("test")
        mid = await place.push("test")
        await phone.mids(1)
        await phone.acks(mid)
        assert await place.is_acked("test", mid)

        await place.world().comet.drain()
        await place.served["a"].leave()

        assert await phone.ends() == b""
        [state] = (await place.books.acks.states(["test"])).values()
        assert state.has(int(mid) * 1000)
