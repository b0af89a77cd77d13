"""How far copies beside the socket have come, in the words of version 2.2.

    webpush-wait, fcm-wait    there is such a receiver, and no provider has accepted its copy yet
    webpush-send, fcm-send    the provider has accepted it
    webpush-ok                the browser says that it got it (MESSAGE_WEBPUSH_CALLBACK)

A step is told and asked for as acknowledgements are (mpush_waits.py), under a key that is not the device's: so it is
known on every node for the seconds in which somebody waits for an answer, and costs nothing afterwards.

Source: spec/mpush.md 11.6. There all receivers of a name share one state, and the last event wins; here the farthest.
"""

import enum
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from appmodel.core.mpush import device_key
from appmodel.core.mpush_stores import ReceiverKind
from appmodel.core.mpush_waits import Awaited, MpushWaits


class Step(enum.StrEnum):
    """What has happened to a copy; the farthest last."""

    FCM_SENT = "fcm-send"
    WEBPUSH_SENT = "webpush-send"
    WEBPUSH_SHOWN = "webpush-ok"


SENT: Final = {ReceiverKind.FCM: Step.FCM_SENT, ReceiverKind.WEBPUSH: Step.WEBPUSH_SENT}
_STEPS: Final = {
    ReceiverKind.FCM: (Step.FCM_SENT,),
    ReceiverKind.WEBPUSH: (Step.WEBPUSH_SENT, Step.WEBPUSH_SHOWN),
    ReceiverKind.WEBHOOK: (),  # it acknowledges, as a device does
}
_FARTHEST_FIRST: Final = tuple(reversed(Step))


def step(name: str, done: Step, message_id: int) -> Awaited:
    """What is noted when a copy for the device `name` has come so far."""
    return Awaited(device_key(name)._replace(realm=f"mpush {done}"), message_id)


async def copy_words(
    waits: MpushWaits, ids: Mapping[str, int], kinds: Mapping[str, Collection[ReceiverKind]]
) -> dict[str, str]:
    """The word for each device of `ids` that has receivers of such kinds. Raises no PushError.

    Args:
        ids: of the message, by device.
        kinds: of its receivers, by device.
    """
    asked = [(name, each) for name in ids for kind in kinds.get(name, ()) for each in _STEPS[kind]]
    if not asked:
        return {}
    answers = await waits.wait([step(name, each, ids[name]) for name, each in asked], 0)
    done = {pair for pair, is_done in zip(asked, answers, strict=True) if is_done}
    words: dict[str, str] = {}
    for name in dict(asked):
        came = [each for each in _FARTHEST_FIRST if (name, each) in done]
        words[name] = came[0] if came else _waiting(kinds[name])
    return words


def _waiting(kinds: Collection[ReceiverKind]) -> str:
    order: Sequence[ReceiverKind] = (ReceiverKind.WEBPUSH, ReceiverKind.FCM)
    return f"{next(kind for kind in order if kind in kinds)}-wait"
