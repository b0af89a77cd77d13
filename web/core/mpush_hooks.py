"""Web hooks of Mpush: devices that are a URL, and how a message is told to one.

    POST    the whole MESSAGE object as JSON
    GET     ?text=..&desp=..&sendType=personal&target=nas&from={"method":..}&mid=155...    and extra, a parameter each

In a query texts stand as they are, anything else as JSON; what a message is always made of wins over `extra`. Both carry
the hook's `authorization`, if it has one.

Source: spec/mpush.md 11.1, 11.8. The original leaves sendType, target, from and mid out of a query, and documents them.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple
from urllib.parse import urlencode

import msgspec

from appmodel.core.lightpush_records import Hidden
from appmodel.core.outward import MAX_URL
from appmodel.errors import TooLarge
from web.core.mpush_copies import Copy

_write = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True)
class Hook:
    """One of [[mpush.hooks]]."""

    name: str  # the device that it is
    url: str
    method: Literal["GET", "POST"] = "POST"
    authorization: Hidden = field(default=Hidden(""))
    group: str = ""


class HookCall(NamedTuple):
    """What is sent."""

    url: str
    headers: list[tuple[str, str]]
    body: bytes


def call_of(hook: Hook, copy: Copy) -> HookCall:
    """How `copy` is told to `hook`.

    Raises:
        TooLarge: it does not fit into a URL.
    """
    headers = [("Authorization", str(hook.authorization))] if hook.authorization else []
    if hook.method == "POST":
        kind = ("Content-Type", "application/json; charset=utf-8")
        return HookCall(hook.url, [kind, *headers], copy.message)
    query = urlencode(_flat(_read(copy.message)), errors="replace")
    url = f"{hook.url}{'&' if '?' in hook.url else '?'}{query}"
    if len(url) > MAX_URL:
        raise TooLarge(
            f"its URL would have {len(url)} characters, at most {MAX_URL}: POST takes more"
        )
    return HookCall(url, headers, b"")


def _flat(told: dict[str, Any]) -> dict[str, str]:
    message = told.pop("message")
    extra = message.pop("extra")
    values = {**message, **told}
    ours = {**values, **{name: value for name, value in extra.items() if name not in values}}
    return {name: value if isinstance(value, str) else _text(value) for name, value in ours.items()}


def _text(value: object) -> str:
    return _write(value).decode()
