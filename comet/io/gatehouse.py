"""What the rules of the native keys ask of this comet: credentials, limits, acknowledgements."""

from appmodel.core.credentials import Ticket
from appmodel.core.names import Key
from appmodel.errors import LimitReached
from comet.io.live import Live
from comet.io.reception import Reception


class CometGatehouse:
    """Implements `Gatehouse` of comet/core/appmsg_rules.py."""

    def __init__(self, reception: Reception, live: Live) -> None:
        self._reception, self._live = reception, live

    async def admit(self, key: Key, token: str, last_id: int) -> Ticket | None:
        """See `Gatehouse.admit`: the same checks as for native clients, in their order."""
        ticket = await self._reception.prove(token, key)
        self._reception.believe(last_id)
        channel = self._live.hub.find(key)
        if channel is not None and self._reception.is_full(channel):
            raise LimitReached(f"key: {key} has as many connections as it may")
        return ticket

    def acknowledge(self, key: Key, message_id: int) -> None:
        """See `Gatehouse.acknowledge`."""
        live = self._live
        channel = live.hub.find(key)
        if channel is not None:
            live.counts.acknowledgements += 1
            live.hub.acknowledge(channel, message_id, live.clock.last)
