"""Who a client of light-push says it is: from the query of its transport and of its namespace's connect.

    ws://host/socket.io/?EIO=3&transport=websocket&uuid=edgw453&userid=u001&platform=ios
    40/demo?uuid=edgw453&activityBroadcast=true,

    uuid         needed; a name of at most 100 characters         uuid invalid
    userid       a name of at most 100; the uuid if it is empty   userid invalid
    platform     web, android, ios; web if it is empty            platform invalid
    activityBroadcast    any text but "false" = others hear which rooms it enters and leaves

Both are merged, and the URL wins: what is checked is what counts (W17). The payload of a connect of Socket.IO 5
(`auth`) is the second one; of it texts, numbers and truth values are looked at. Source: spec/liutian-push.md 3.2, 3.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from appmodel.core.lightpush import MAX_USERID, MAX_UUID, Platform, client_id, is_name
from comet.core.rules import Refused

MAX_ASKED = 64  # parameters of a connect that are looked at
MAX_VALUE = 1024  # characters of one; tokens of back ends may be long

_PLATFORMS = {platform.value: platform for platform in Platform}


@dataclass(frozen=True, slots=True)
class Identity:
    """A client that is what a client may be."""

    client: str  # its id
    userid: str  # as it gave it
    uuid: str
    platform: Platform
    announces: bool  # others hear which rooms it enters and leaves


def merge(asked: Any, url: Mapping[str, str]) -> dict[str, str]:
    """The parameters of a connect; those of the URL win."""
    given = asked.items() if isinstance(asked, dict) else ()
    texts = {name: _text(value) for name, value in list(given)[:MAX_ASKED]}
    mine = {name: text for name, text in texts.items() if text is not None}
    return mine | dict(url)


def identify(namespace: str, query: Mapping[str, str]) -> Identity:
    """Who that is.

    Raises:
        Refused: with the original's text; the client reads first that it was disconnected.
    """
    uuid = query.get("uuid", "")
    if not is_name(uuid, MAX_UUID):
        raise Refused("uuid invalid", closes=True)
    userid = query.get("userid", "") or uuid
    if not is_name(userid, MAX_USERID):
        raise Refused("userid invalid", closes=True)
    platform = _PLATFORMS.get(query.get("platform", "") or Platform.WEB)
    if platform is None:
        raise Refused("platform invalid", closes=True)
    return Identity(
        client=client_id(namespace, userid, platform, uuid),
        userid=userid,
        uuid=uuid,
        platform=platform,
        announces=query.get("activityBroadcast", "") not in {"", "false"},
    )


def _text(value: Any) -> str | None:
    """As it would stand in a URL; None for what cannot."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        value = str(value) if abs(value) < 1e18 else None
    return value if isinstance(value, str) and len(value) <= MAX_VALUE else None
