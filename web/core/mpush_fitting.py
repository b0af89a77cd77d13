r"""A copy of a message, as large as a notification service takes it.

    {"sendType":...,"message":{"text":"title","desp":"as much as fits...","extra":{},"cut":true},"mid":"155..."}

Whoever shows one that says `cut` gets the whole message when the device next logs in. Extra, link and tags are
left out before what there is to read. Sizes: web/core/notifications.py. Ours: the original sends what the service refuses.
"""

from typing import Any

import msgspec

from web.core.cutting import cut, json_size
from web.core.notifications import MIN_TEXT

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def fit(message: bytes, room: int) -> bytes:
    """`message`, the JSON of a Copy, or what fits of it.

    Args:
        room: bytes; at least 2,000, so that the longest names leave some.
    """
    if len(message) <= room:
        return message
    whole = _decode(message)
    said: dict[str, Any] = whole["message"]
    text, desp = said["text"], said["desp"]
    shown = {**said, "text": "", "desp": "", "extra": {}, "cut": True}
    whole["message"] = shown
    if room - len(_encode(whole)) < MIN_TEXT:
        for name in ("click", "tags"):
            shown.pop(name, None)
    left = room - len(_encode(whole))
    shown["text"] = cut(text, left // 2)
    shown["desp"] = cut(desp, left - json_size(shown["text"]))
    return _encode(whole)


def fit_quoted(message: bytes, room: int) -> str:
    """The same as a text whose own JSON, with its quotes, has at most `room` bytes."""
    limit = room
    while True:
        text = fit(message, limit).decode()
        excess = len(_encode(text)) - room
        if excess <= 0:
            return text
        limit -= excess  # a byte less makes a byte less, or two
