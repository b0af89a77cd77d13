"""The way to web hooks: see web/core/mpush_hooks.py for what is said.

    2xx                  DELIVERED: it has acknowledged
    413, 414, 431        REFUSED: this message is too large for it; so is one that fits into no URL
    anything else        RETRY: also a redirect, which is not followed, silence, and an answer that is too large
    nowhere to call      MISCONFIGURED: no such hook here (any more), or it leads to an address that is not allowed

Source: spec/mpush.md 11.8. Ours: a deadline, so that copies do not overlap, and a guard (appmodel/io/outbound.py).
"""

from collections.abc import Mapping

from appmodel.core.mpush_stores import Receiver
from appmodel.errors import BadInput, PushError, TooLarge
from appmodel.io.outbound import Outbound
from web.core.mpush_copies import Copy
from web.core.mpush_hooks import Hook, call_of
from web.gateways.interface import DELIVERED, Kind, Receipt, retry_after

TOO_LARGE = frozenset({413, 414, 431})  # RFC 9110, RFC 6585


class HookWay:
    """See Way."""

    def __init__(self, hooks: Mapping[str, Hook], outbound: Outbound) -> None:
        """`hooks`: by the names of the devices that they are. `outbound`: the caller's."""
        self._hooks, self._outbound = hooks, outbound

    async def bring(self, receiver: Receiver, copy: Copy) -> Receipt:
        """See Way."""
        hook = self._hooks.get(receiver.name)
        if hook is None:
            return Receipt(Kind.MISCONFIGURED, "mpush.hooks has none of this name")
        try:
            url, headers, body = call_of(hook, copy)
        except TooLarge as error:
            return Receipt(Kind.REFUSED, str(error))
        try:
            answer = await self._outbound.call(hook.method, url, headers=headers, content=body)
        except BadInput as error:
            return Receipt(Kind.MISCONFIGURED, str(error))
        except PushError as error:
            return Receipt(Kind.RETRY, str(error))
        if 200 <= answer.status < 300:
            return DELIVERED
        kind = Kind.REFUSED if answer.status in TOO_LARGE else Kind.RETRY
        after = retry_after(answer.header("retry-after"))
        return Receipt(kind, f"HTTP {answer.status}", after=after)
