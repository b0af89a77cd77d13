"""Web hooks of the configuration become devices, each with one receiver: itself.

It gets what waits for its name already, and what other nodes were pushed while nobody looked. Its receiver stays where it is
when its URL changes, and when it is taken out of the configuration: then nothing is brought to it.
"""

from collections.abc import Callable, Collection

from appmodel.core.interfaces import OfflineStore
from appmodel.core.lightpush_records import Hidden
from appmodel.core.mpush import device_key
from appmodel.core.mpush_stores import Devices, Receiver, ReceiverKind, Receivers
from web.core.mpush_hooks import Hook
from web.services.deadlines import answered_within

ADDRESS = "mpush.hooks"  # of all of them: where they are reached is in the configuration


async def enter_hooks(
    hooks: Collection[Hook],
    devices: Devices,
    receivers: Receivers,
    store: Callable[[], OfflineStore],
    *,
    within: float,
    now: int,
) -> None:
    """Make them, once a node starts. May be repeated.

    Args:
        within: seconds for the store's answer.
        now: Unix ms.

    Raises:
        LimitReached: there are too many devices, or receivers of one.
        PushError: the database or the store is away.
    """
    if not hooks:
        return
    for hook in hooks:
        await devices.register(hook.name, group=hook.group, now=now)
        receiver = Receiver(hook.name, ReceiverKind.WEBHOOK, ADDRESS, Hidden(""), now)
        await receivers.add(receiver, cursor=0, now=now)
    names = [hook.name for hook in hooks]
    with answered_within(within):
        marks = await store().marks([device_key(name) for name in names])
    await receivers.want(dict(zip(names, marks, strict=True)), now=now)
