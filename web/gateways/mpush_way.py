"""A way to receivers of Mpush: of web hooks, of Web Push or of FCM; the interface.

    DELIVERED      it has the copy
    GONE           there is no such receiver any more: it is removed
    RETRY          not now: again after a pause, not before `after` seconds
    REFUSED        not this one: it is left out, the next one is tried
    MISCONFIGURED  none by this way until somebody mends the configuration: again after a long pause

`Receipt` is that of other gateways (interface.py). Who brings which copy when: web/services/mpush_receivers.py.
"""

from typing import Protocol

from appmodel.core.mpush_stores import Receiver
from web.core.mpush_copies import Copy
from web.gateways.interface import Receipt


class Way(Protocol):
    """Calls are independent; cancelling one is safe, and the copy may have gone out then."""

    async def bring(self, receiver: Receiver, copy: Copy) -> Receipt:
        """Hand `copy` over. It ends within the configured time, and never raises because of what is at the
        other end. `receiver.secrets` could be opened: who has others is not brought anything.
        """
