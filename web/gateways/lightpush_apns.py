"""The ways to Apple of light-push's namespaces: gateways of named configurations, open while they are used.

    Place ─> its configuration, read for each job ─> the gateway of its credential, one for all jobs

A configuration that was changed is met by the next job, with a new gateway; the old one is closed, and what was
under way in it is tried again (W23: the original went on with the dead one).
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import trio

from appmodel.core.lightpush_records import ApnsConfig
from appmodel.core.lightpush_stores import Namespaces
from appmodel.errors import PushError
from appmodel.orm.provider_credentials import StoredCredential
from web.core.lightpush_apns import Letter, Place, Proof, proof_of
from web.core.notifications import Device, Notification
from web.gateways.interface import Gateway, Receipt
from web.gateways.keyring import Unusable, Watched

MAX_GATEWAYS = 1000  # that are kept open; above it the longest unused go

OpenGateway = Callable[[StoredCredential], Awaitable[Gateway]]
"""A gateway for a credential of Apple. Raises BadInput if that cannot be used."""


class _Opened(NamedTuple):
    proof: Proof
    gateway: Watched


class Way:
    """To Apple, for the time of a job."""

    def __init__(self, config: ApnsConfig, gateway: Watched) -> None:
        self.config = config
        self._gateway = gateway

    @property
    def trouble(self) -> str:
        """Why its credential cannot be used; empty if it can be."""
        gateway = self._gateway.gateway
        return gateway.receipt.reason if isinstance(gateway, Unusable) else ""

    async def send(self, device_token: str, letter: Letter, push_id: int) -> Receipt:
        """See Gateway. What is sent twice replaces itself on the phone."""
        device = Device(
            provider="apns", token=device_token, user_id="", device_id="", registered_at=0.0
        )
        notification = Notification(
            message_id=push_id,
            user_id="",
            title="",
            text="",
            custom=letter.payload,
            expires_at=letter.expiration,
        )
        return await self._gateway.send(device, notification, None)


class Ways:
    """Ways to Apple, of all namespaces."""

    def __init__(self, namespaces: Namespaces, open_gateway: OpenGateway, *, pause: float) -> None:
        """`pause`: seconds for which a credential that Apple called wrong is not asked again."""
        self._namespaces, self._open, self._pause = namespaces, open_gateway, pause
        self._opened: OrderedDict[Place, _Opened] = OrderedDict()
        self._turn = trio.Lock()

    async def find(self, place: Place) -> Way | None:
        """The way through a configuration; None: there is no such configuration.

        Raises:
            PushError: it cannot be read now.
        """
        found = await self._namespaces.apns([place.namespace])
        for config in found.get(place.namespace, ()):
            if config.name == place.name:
                async with self._turn:
                    return Way(config, await self._gateway(place, proof_of(config)))
        return None

    async def aclose(self) -> None:
        """Let go of all connections."""
        while self._opened:
            await self._opened.popitem()[1].gateway.gateway.aclose()

    async def _gateway(self, place: Place, proof: Proof) -> Watched:
        known = self._opened.get(place)
        if known is None or known.proof != proof:
            opened = _Opened(proof, await self._make(place, proof))
            self._opened[place] = opened
            if known is not None:
                await known.gateway.gateway.aclose()
        self._opened.move_to_end(place)
        while len(self._opened) > MAX_GATEWAYS:
            await self._opened.popitem(last=False)[1].gateway.gateway.aclose()
        return self._opened[place].gateway

    async def _make(self, place: Place, proof: Proof) -> Watched:
        try:
            gateway = await self._open(StoredCredential(*proof[:-1], str(proof.content)))
        except PushError as error:
            gateway = Unusable("apns", error)
        return Watched(gateway, f"{place.namespace}/apns/{place.name}", self._pause)
