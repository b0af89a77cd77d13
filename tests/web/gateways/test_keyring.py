"""Gateways by tenant, while their credentials change."""

from collections.abc import Sequence

import pytest
import trio
import trio.testing

from appmodel.errors import BadInput, Unavailable
from appmodel.orm.provider_credentials import StoredCredential
from tests.web.gateways.pretend import PretendGateway, device, notification
from web.core.notifications import Provider
from web.gateways import keyring as module
from web.gateways.interface import DELIVERED, Gateway, Kind, Receipt
from web.gateways.keyring import Keyring, Watched

REFRESH, PAUSE = 30.0, 60.0
WRONG = Receipt(Kind.MISCONFIGURED, "InvalidProviderToken")
BUSY = Receipt(Kind.RETRY, "busy")


class Store:
    """Credentials, and what is made of them."""

    def __init__(self) -> None:
        self.rows: dict[str, list[StoredCredential]] = {}
        self.reads = 0
        self.away = False
        self.made: list[PretendGateway] = []

    async def credentials(self, tenant_id: str, provider: Provider) -> Sequence[StoredCredential]:
        await trio.lowlevel.checkpoint()
        self.reads += 1
        if self.away:
            raise Unavailable("the database is away")
        return self.rows.get(tenant_id, [])

    async def open(self, provider: Provider, row: StoredCredential) -> Gateway:
        await trio.lowlevel.checkpoint()
        if row.content == "broken":
            raise BadInput("content", "********", "a key")
        self.made.append(PretendGateway())
        return self.made[-1]


def row(content: str, environment: str = "production") -> StoredCredential:
    """A credential."""
    return StoredCredential("p8", "com.shop", environment, content)


@pytest.fixture
def store() -> Store:
    """Tenant t1 has one credential."""
    store = Store()
    store.rows["t1"] = [row("a")]
    return store


@pytest.fixture
def keyring(store: Store) -> Keyring:
    """Of that store."""
    return Keyring(store, store.open, refresh=REFRESH, pause=PAUSE)


async def test_credentials_are_read_now_and_then(
    store: Store, keyring: Keyring, autojump_clock: trio.testing.MockClock
) -> None:
    """Not for each notification; and the gateway stays while its credential does."""
    first = await keyring.gateways("t1", "apns")
    again = await keyring.gateways("t1", "apns")
    await trio.sleep(REFRESH + 1)
    later = await keyring.gateways("t1", "apns")

    assert first == again == later
    assert (store.reads, len(store.made)) == (2, 1)


async def test_those_who_come_together_read_once(store: Store, keyring: Keyring) -> None:
    """A thousand phones of a tenant that was silent."""
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(keyring.gateways, "t1", "apns")

    assert (store.reads, len(store.made)) == (1, 1)


async def test_a_new_credential_replaces_the_old_one(
    store: Store, keyring: Keyring, autojump_clock: trio.testing.MockClock
) -> None:
    """Within `refresh`, and the old connections are closed."""
    (old,) = await keyring.gateways("t1", "apns")
    store.rows["t1"] = [row("b"), row("a", "sandbox")]
    await trio.sleep(REFRESH + 1)

    new = await keyring.gateways("t1", "apns")

    assert old not in new
    assert [each.gateway for each in new] == store.made[1:]
    assert [gateway.closed for gateway in store.made] == [True, False, False]


async def test_a_noted_change_is_read_at_once(store: Store, keyring: Keyring) -> None:
    """Of that tenant; what else changes is no news here."""
    await keyring.gateways("t1", "apns")
    store.rows["t1"] = [row("b")]
    keyring.hear(["push_credential:t2", "g7@qun", "t1"])
    await keyring.gateways("t1", "apns")
    assert len(store.made) == 1

    keyring.hear(["push_credential:t1"])
    await keyring.gateways("t1", "apns")
    assert len(store.made) == 2

    store.rows["t1"] = [row("c")]
    keyring.hear(None)
    await keyring.gateways("t1", "apns")
    assert len(store.made) == 3


async def test_tenants_have_gateways_of_their_own(store: Store, keyring: Keyring) -> None:
    """And none has another's."""
    store.rows["t2"] = [row("a")]

    (mine,) = await keyring.gateways("t1", "apns")
    (theirs,) = await keyring.gateways("t2", "apns")

    assert mine.gateway is not theirs.gateway
    assert await keyring.gateways("t3", "apns") == []


async def test_what_is_known_serves_while_the_database_is_away(
    store: Store, keyring: Keyring, autojump_clock: trio.testing.MockClock
) -> None:
    """What is not known is an error: somebody may have a credential."""
    known = await keyring.gateways("t1", "apns")
    store.away = True
    await trio.sleep(REFRESH + 1)

    assert await keyring.gateways("t1", "apns") == known
    with pytest.raises(Unavailable):
        await keyring.gateways("t2", "apns")


async def test_a_credential_that_cannot_be_read_is_a_wrong_one(
    store: Store, keyring: Keyring
) -> None:
    """It says so for each notification, and harms no other credential."""
    store.rows["t1"] = [row("broken"), row("a", "sandbox")]

    broken, good = await keyring.gateways("t1", "apns")

    receipt = await broken.send(device(), notification(), None)
    assert receipt.kind is Kind.MISCONFIGURED
    assert "content" in receipt.reason
    assert await good.send(device(), notification(), None) == DELIVERED


async def test_a_wrong_credential_is_not_asked_for_a_while(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Apple has said no; it need not say it a thousand times."""
    gateway = PretendGateway(WRONG)
    watched = Watched(gateway, "t1/apns", PAUSE)

    receipts = [await watched.send(device(), notification(), None) for _ in range(3)]
    await trio.sleep(PAUSE + 1)
    receipts.append(await watched.send(device(), notification(), None))
    receipts.append(await watched.send(device(), notification(), None))

    assert receipts == [WRONG, WRONG, WRONG, DELIVERED, DELIVERED]
    assert len(gateway.sent) == 3


async def test_a_busy_provider_says_nothing_of_the_credential(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It stays wrong until something was taken."""
    gateway = PretendGateway(WRONG, BUSY)
    watched = Watched(gateway, "t1/apns", PAUSE)
    await watched.send(device(), notification(), None)
    await trio.sleep(PAUSE + 1)

    assert await watched.send(device(), notification(), None) == BUSY
    assert await watched.send(device(), notification(), None) == DELIVERED


async def test_the_longest_unused_go(
    store: Store, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tenants without end do not fill the memory."""
    monkeypatch.setattr(module, "MAX_ENTRIES", 2)
    store.rows |= {f"t{number}": [row("a")] for number in range(4)}
    for tenant in ("t0", "t1", "t0", "t2"):
        await keyring.gateways(tenant, "apns")

    assert [gateway.closed for gateway in store.made] == [False, True, False]
    await keyring.aclose()
    assert all(gateway.closed for gateway in store.made)
