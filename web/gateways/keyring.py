"""The gateways of each tenant, made from its credentials and kept until these change.

    tenant, provider ─> rows of push_credential ─> gateways, in the order in which they are asked

A credential that a provider called wrong is not asked again for a while: its notifications would only
tell Apple or Google once more. That is one line in the log, and one more when it works again.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

import structlog
import trio

from appmodel.errors import PushError
from appmodel.orm.provider_credentials import StoredCredential
from web.core.notifications import Device, Notification, Provider
from web.gateways.interface import Gateway, Kind, Receipt

MAX_ENTRIES = 1000  # tenants and providers whose gateways are kept; above it the longest unused go

NOTED = "push_credential:"  # a tenant's credentials have changed: web/services/push_credentials.py

Place = tuple[str, Provider]  # tenant id and provider

log = structlog.get_logger(__name__)


class Stored(Protocol):
    """Where credentials are kept."""

    async def credentials(self, tenant_id: str, provider: Provider) -> Sequence[StoredCredential]:
        """Those of a tenant for a provider. Raises PushError if it cannot be known."""


OpenGateway = Callable[[Provider, StoredCredential], Awaitable[Gateway]]
"""A gateway for a credential. Raises BadInput if that cannot be used."""


class Watched:
    """A gateway, and whether its credential is any good."""

    def __init__(self, gateway: Gateway, name: str, pause: float) -> None:
        """
        Args:
            name: for the log.
            pause: seconds for which a wrong credential is not asked again.
        """
        self.gateway = gateway
        self._name = name
        self._pause = pause
        self._wrong: Receipt | None = None
        self._until = 0.0

    async def send(self, device: Device, notification: Notification, badge: int | None) -> Receipt:
        """See Gateway."""
        if self._wrong is not None and trio.current_time() < self._until:
            return self._wrong
        receipt = await self.gateway.send(device, notification, badge)
        if receipt.kind is Kind.MISCONFIGURED:
            self._blame(receipt)
        elif receipt.kind is not Kind.RETRY and self._wrong is not None:
            self._wrong = None
            log.info("notifications work again", credential=self._name)
        return receipt

    def _blame(self, receipt: Receipt) -> None:
        if self._wrong is None:
            log.warning("notifications misconfigured", credential=self._name, reason=receipt.reason)
        self._wrong = receipt
        self._until = trio.current_time() + self._pause


class Unusable:
    """Stands for a credential that cannot even be read."""

    def __init__(self, provider: Provider, error: PushError) -> None:
        self.provider = provider
        self.receipt = Receipt(Kind.MISCONFIGURED, str(error))

    async def send(self, device: Device, notification: Notification, badge: int | None) -> Receipt:
        """Says why."""
        await trio.lowlevel.checkpoint()
        return self.receipt

    async def aclose(self) -> None:
        """There is nothing to let go of."""


class _Entry:
    def __init__(self) -> None:
        self.lock = trio.Lock()
        self.read_at: float | None = None
        self.changed = False  # since it was read
        self.opened: dict[StoredCredential, Watched] = {}


class Keyring:
    """Gateways by tenant and provider."""

    def __init__(
        self, stored: Stored, open_gateway: OpenGateway, *, refresh: float, pause: float
    ) -> None:
        """
        Args:
            refresh: seconds for which credentials are not read again.
            pause: see Watched.
        """
        self._stored = stored
        self._open = open_gateway
        self._refresh = refresh
        self._pause = pause
        self._entries: OrderedDict[Place, _Entry] = OrderedDict()

    async def gateways(self, tenant_id: str, provider: Provider) -> list[Watched]:
        """Those of a tenant; none if it has no credential. Several are asked one after the other.

        Raises:
            PushError: they were never read, and cannot be read now.
        """
        place = (tenant_id, provider)
        entry = self._entries.setdefault(place, _Entry())
        self._entries.move_to_end(place)
        if not self._is_fresh(entry):
            async with entry.lock:
                if not self._is_fresh(entry):
                    await self._read(place, entry)
            await self._trim()
        return list(entry.opened.values())

    def hear(self, subjects: Iterable[str] | None) -> None:
        """Something in the database is new; None = perhaps everything. See appmodel/orm/changes.py."""
        tenants = None
        if subjects is not None:
            noted = (name for name in subjects if name.startswith(NOTED))
            tenants = {name.removeprefix(NOTED) for name in noted}
        for (tenant_id, _), entry in self._entries.items():
            entry.changed |= tenants is None or tenant_id in tenants

    async def aclose(self) -> None:
        """Let go of all of them."""
        while self._entries:
            _, entry = self._entries.popitem()
            await _close(entry.opened.values())

    def _is_fresh(self, entry: _Entry) -> bool:
        if entry.read_at is None or entry.changed:
            return False
        return trio.current_time() < entry.read_at + self._refresh

    async def _read(self, place: Place, entry: _Entry) -> None:
        entry.changed = False  # what changes from here on is read again
        try:
            rows = await self._stored.credentials(*place)
        except PushError:
            if entry.read_at is None:
                raise
            return  # what is known serves until the database is back
        opened = {row: entry.opened.get(row) or await self._make(place, row) for row in rows}
        if not opened and (entry.opened or entry.read_at is None):
            log.info("no credential for notifications", tenant=place[0], provider=place[1])
        gone = [each for row, each in entry.opened.items() if row not in opened]
        entry.opened, entry.read_at = opened, trio.current_time()
        await _close(gone)

    async def _make(self, place: Place, row: StoredCredential) -> Watched:
        tenant_id, provider = place
        try:
            gateway = await self._open(provider, row)
        except PushError as error:
            gateway = Unusable(provider, error)
        return Watched(
            gateway, f"{tenant_id}/{provider}/{row.topic}/{row.environment}", self._pause
        )

    async def _trim(self) -> None:
        while len(self._entries) > MAX_ENTRIES:
            _, entry = self._entries.popitem(last=False)
            await _close(entry.opened.values())


async def _close(opened: Iterable[Watched]) -> None:
    for each in list(opened):
        await each.gateway.aclose()
