"""All of it: a database, three providers on loopback, and one push."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
import trio.testing
from sqlalchemy.orm import Session

from appmodel.core.message import Page, Presence, Stored
from appmodel.core.names import Key
from appmodel.core.units import Duration
from appmodel.errors import ConfigError, PushError
from appmodel.io.database import Database
from appmodel.io.outbound import OutboundLimits
from appmodel.orm.applications import PushCredential, Resource
from appmodel.orm.base import Base
from appmodel.orm.devices import ApnsToken, PushDevice
from appmodel.orm.notified_devices import offline_devices
from appmodel.orm.organisations import Tenant
from appmodel.orm.presence import Session as SessionRow
from appmodel.runtime.metrics import Metrics
from tests.web.gateways.apple import TOPIC, Apple, apple_error, device_token
from tests.web.gateways.authority import Authority
from tests.web.gateways.browser import Browser
from tests.web.gateways.google import Google
from tests.web.gateways.h2_server import CUT, SILENCE, serving
from web.core.notifications import Job
from web.gateways.config import ApnsConfig, NotificationsConfig
from web.gateways.opening import open_notifier
from web.gateways.queue import Notifier

PATIENCE = 60.0  # seconds after which a test has failed
AUTHORITY = Authority()


class Inboxes:
    """Everybody has three unread messages."""

    async def presence(self, keys: list[Key]) -> dict[Key, Presence | PushError]:
        await trio.lowlevel.checkpoint()
        return dict.fromkeys(keys, Presence(0, 0))

    async def page(self, key: Key, after: int, limit: int) -> Page:
        await trio.lowlevel.checkpoint()
        return Page(tuple(Stored(number, b"{}", 0.0) for number in (1, 2, 3)), more=False)


@dataclass
class World:
    """The providers, and what the database holds."""

    database: Database
    folder: Path
    apple: Apple = field(default_factory=Apple)
    google: Google = field(default_factory=Google)
    browser: Browser = field(default_factory=Browser)
    metrics: Metrics = field(default_factory=Metrics)

    async def keep(self, *rows: Base) -> None:
        def keep(session: Session) -> None:
            session.add_all(rows)

        await self.database.write(keep)

    async def keep_credentials(self, tenant: str = "t1") -> None:
        """For all three providers."""
        kinds = [
            ("apns", "p8", TOPIC, self.apple.credential),
            ("fcm", "service_account", "", self.google.credential),
            ("webpush", "vapid", "", self.browser.credential),
        ]
        await self.keep(
            *(
                PushCredential(
                    tenant_id=tenant,
                    provider=provider,
                    kind=kind,
                    topic=topic,
                    environment="production",
                    content=content,
                )
                for provider, kind, topic, content in kinds
            )
        )

    def config(self) -> NotificationsConfig:
        """Everything on loopback."""
        ca_file = self.folder / "ca.pem"
        ca_file.write_text(AUTHORITY.certificate)
        place = f"localhost:{self.apple.server.port}"
        return NotificationsConfig(
            fcm_url=self.google.url,
            first_pause=Duration(0.01),
            apns=ApnsConfig(production=place, sandbox=place),
            outbound=OutboundLimits(
                allowed=("localhost",), ca_file=str(ca_file), timeout=Duration(1)
            ),
        )

    async def tokens(self, *user_ids: str) -> list[str]:
        """That are still registered, of those who are away."""
        rows = await self.database.read(lambda session: offline_devices(session, user_ids))
        return sorted(row.token for row in rows)


@asynccontextmanager
async def opened(database: Database, folder: Path) -> AsyncIterator[World]:
    """Three providers until the block ends."""
    world = World(database, folder)
    async with AsyncExitStack() as stack:
        tls = AUTHORITY.server_context(ask_client=True)
        await stack.enter_async_context(serving(world.apple.server, tls))
        for server in (world.google.server, world.browser.server):
            await stack.enter_async_context(serving(server, AUTHORITY.server_context()))
        with trio.fail_after(PATIENCE):
            yield world


@asynccontextmanager
async def notifying(world: World) -> AsyncIterator[Notifier]:
    """A notifier until the block ends."""
    config, metrics = world.config(), world.metrics
    async with open_notifier(config, world.database, Inboxes(), metrics, login_life=60) as notifier:
        yield notifier


def phone(user: str, number: int) -> ApnsToken:
    """Registered under d<number>."""
    return ApnsToken(user_id=user, device_id=f"d{number}", apns_token=device_token(number))


def other(user: str, provider: str, address: str) -> PushDevice:
    """Of another provider."""
    digest = hashlib.sha256(address.encode()).hexdigest()
    return PushDevice(
        user_id=user, provider=provider, device_id="x", address=address, address_digest=digest
    )


def job(*users: str, tenant: str = "t1") -> Job:
    """Ann says hi; the message is number 7 everywhere."""
    return Job(tenant_id=tenant, recipients=dict.fromkeys(users, 7), title="Ann", text="hi")


async def test_a_push_reaches_every_device_that_is_away(database: Database, tmp_path: Path) -> None:
    """Of each provider, once; with the message's id and the badge."""
    async with opened(database, tmp_path) as world:
        await world.keep_credentials()
        await world.keep(phone("u1", 1), phone("u1", 2), phone("u2", 3))
        await world.keep(other("u1", "fcm", "fcm-1"))
        await world.keep(other("u1", "webpush", world.browser.subscription()))
        await world.keep(*(SessionRow(id=f"u1_{kind}-d2", user_id="u1") for kind in ("iOS", "a")))
        async with notifying(world) as notifier:
            notifier.notify([job("u1")])
            await notifier.drained()

        (apns,) = world.apple.server.asked
        (fcm,) = world.google.messages
        (web,) = world.browser.server.asked
        assert apns.path.endswith(device_token(1))
        assert json.loads(apns.body)["aps"]["badge"] == 3
        assert json.loads(apns.body)["mid"] == 7
        assert json.loads(fcm.body)["message"]["data"]["mid"] == "7"
        assert json.loads(world.browser.read(web))["mid"] == 7
        page = world.metrics.render()[0].decode()
        assert 'web_notifications_total{outcome="delivered",provider="apns"} 1.0' in page


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_dead_tokens_are_removed(database: Database, tmp_path: Path) -> None:
    """Unless they were registered again since Apple saw them die."""
    async with opened(database, tmp_path) as world:
        await world.keep_credentials()
        await world.keep(phone("u1", 1), phone("u1", 2), phone("u1", 3))
        gone_now, gone_long_ago = 32503680000000, 1000  # milliseconds: in the year 3000, in 1970
        world.apple.said = {
            device_token(1): apple_error(410, "Unregistered", timestamp=gone_now),
            device_token(2): apple_error(410, "Unregistered", timestamp=gone_long_ago),
        }
        async with notifying(world) as notifier:
            notifier.notify([job("u1")])
            await notifier.drained()

        assert await world.tokens("u1") == [device_token(2), device_token(3)]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_provider_that_is_down_delays_no_other(database: Database, tmp_path: Path) -> None:
    """One is silent, one cuts every connection; the third delivers as ever."""
    async with opened(database, tmp_path) as world:
        await world.keep_credentials()
        await world.keep(*(phone("u1", number) for number in range(100)))
        await world.keep(other("u1", "fcm", "fcm-1"))
        await world.keep(other("u1", "webpush", world.browser.subscription()))
        world.apple.always, world.google.always = SILENCE, CUT
        async with notifying(world) as notifier:
            notifier.notify([job("u1")])
            while not notifier.delivery.outcomes["webpush", "delivered"]:
                await trio.testing.wait_all_tasks_blocked(0.01)
            assert notifier.delivery.outcomes["apns", "delivered"] == 0


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_tenants_credentials_serve_no_other(database: Database, tmp_path: Path) -> None:
    """Who has none sends nothing."""
    async with opened(database, tmp_path) as world:
        await world.keep_credentials("t1")
        await world.keep(phone("u1", 1))
        async with notifying(world) as notifier:
            notifier.notify([job("u1", tenant="t2")])
            await notifier.drained()

            assert notifier.delivery.outcomes == {("apns", "misconfigured"): 1}
        assert world.apple.server.asked == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_an_adopted_certificate_is_used(database: Database, tmp_path: Path) -> None:
    """From the files that the original's table names, by the tenant's customer."""
    pair = AUTHORITY.issue("Apple Push Services", uid=TOPIC)
    start = pair.index("-----BEGIN PRIVATE")
    (tmp_path / "c.pem").write_text(pair[:start])
    (tmp_path / "k.pem").write_text(pair[start:])
    async with opened(database, tmp_path) as world:
        await world.keep(Tenant(id="t1", code="t1", name="t1", customer_id="c1"))
        await world.keep(
            Resource(customer_id="c1", type="0", content=str(tmp_path / "c.pem")),
            Resource(customer_id="c1", type="1", content=str(tmp_path / "k.pem")),
        )
        await world.keep(phone("u1", 1))
        async with notifying(world) as notifier:
            notifier.notify([job("u1")])
            await notifier.drained()

            assert notifier.delivery.outcomes == {("apns", "delivered"): 1}
        assert world.apple.server.asked[0].certified


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_certificate_that_is_not_there_harms_nothing(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a wrong credential, and a line in the log."""
    async with opened(database, tmp_path) as world:
        await world.keep(Tenant(id="t1", code="t1", name="t1", customer_id="c1"))
        await world.keep(
            Resource(customer_id="c1", type="0", content="/nowhere/c.pem"),
            Resource(customer_id="c1", type="1", content="/nowhere/k.pem"),
        )
        await world.keep(phone("u1", 1))
        async with notifying(world) as notifier:
            notifier.notify([job("u1")])
            await notifier.drained()

            assert notifier.delivery.outcomes == {("apns", "misconfigured"): 1}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_what_is_under_way_is_finished_at_the_end(database: Database, tmp_path: Path) -> None:
    """A node that stops has a moment for what was pushed last."""
    async with opened(database, tmp_path) as world:
        await world.keep_credentials()
        await world.keep(*(phone("u1", number) for number in range(50)))
        async with notifying(world) as notifier:
            notifier.notify([job("u1")])

        assert len(world.apple.server.asked) == 50
        assert notifier.delivery.outcomes == {("apns", "delivered"): 50}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_node_that_is_cancelled_finishes_it_too(database: Database, tmp_path: Path) -> None:
    """A web node ends its application layer by cancelling it: what was pushed goes out all the same."""
    async with opened(database, tmp_path) as world:
        await world.keep_credentials()
        await world.keep(phone("u1", 1))

        with trio.CancelScope() as node:
            async with notifying(world) as notifier:
                notifier.notify([job("u1")])
                node.cancel()

        assert len(world.apple.server.asked) == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_authorities_that_cannot_be_read_are_an_error_at_the_start(
    database: Database, tmp_path: Path
) -> None:
    """Not at the first notification."""
    config = NotificationsConfig(outbound=OutboundLimits(ca_file="/nowhere/ca.pem"))

    with pytest.raises(ConfigError, match=r"web\.notifications\.outbound\.ca_file"):
        async with open_notifier(config, database, Inboxes(), Metrics(), login_life=60):
            pass
