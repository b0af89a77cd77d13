"""Names of Mpush: devices, their keys, the mids that clients see, and how a push is written down.

    device      test                    1..200 bytes of printable text, any characters: "@" and "/" too
    key         test@mpush              Key("", "test@mpush", ""): /v2/push, presence and native clients know it
    id          1557901952810000        of a message, in microseconds; of a queue's key always whole milliseconds
    mid         "1557901952810"         the same in milliseconds: what a client of Mpush sees and acknowledges
    body        {"title":"t","content":"c"}      in the store; any other JSON is shown as content

Only the last "@mpush" of a key counts, so every name has one key and every such key one name. A key that ends so
is a queue (`Key.is_queue`): stores give its messages ids that are 1000 apart, so no two of them have one mid.

Source: spec/mpush.md sections 4, 11.2 and 13. Ours: names are bounded and printable, mids are unique per device.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Literal

import msgspec

from appmodel.core.clock import MAX_ID
from appmodel.core.names import QUEUE, QUEUE_STEP, Key
from appmodel.errors import BadInput
from appmodel.protocol.envelope import MAX_DEPTH, checked_json

MAX_NAME = 200  # bytes of UTF-8, of a device and of a group; its key is below MAX_KEY
NOTED = "mpush:"  # what changes are noted under, before what has changed; appmodel/orm/changes.py

MID_DIGITS: Final = 13  # until the year 2286


def check_name(name: str, *, field: str = "name") -> str:
    """`name`, if a device or a group can have it.

    Raises:
        BadInput: empty, over MAX_NAME bytes, or with a character that cannot be printed.
    """
    if not name:
        raise BadInput(field, name, "a name that is not empty")
    if not name.isprintable():
        raise BadInput(field, name, "printable characters only")
    if len(name) > MAX_NAME or (not name.isascii() and len(name.encode()) > MAX_NAME):
        raise BadInput(field, name, f"at most {MAX_NAME} bytes")
    return name


def device_key(name: str) -> Key:
    """The key of a device. `name`: checked."""
    return Key("", f"{name}{QUEUE}", "")


def name_of(key: Key) -> str | None:
    """The device of a key; None: it is no device's."""
    return key.id.removesuffix(QUEUE) or None if key.is_queue else None


def mid_of(message_id: int) -> str:
    """What a client of Mpush sees."""
    return str(message_id // QUEUE_STEP)


def id_of(mid: object) -> int | None:
    """The message id of a mid, from a client: a text of digits, or (as many write it) a number. None: no mid."""
    if isinstance(mid, str) and mid.isascii() and mid.isdecimal() and len(mid) <= MID_DIGITS:
        mid = int(mid)
    if isinstance(mid, int) and not isinstance(mid, bool) and 0 <= mid <= MAX_ID // QUEUE_STEP:
        return mid * QUEUE_STEP
    return None


def note_of(name: str) -> str:
    """What a change of a device is noted under."""
    return f"{NOTED}{_digest('device', name)}"


def note_of_group(group: str) -> str:
    """What a change of a group's members is noted under."""
    return f"{NOTED}{_digest('group', group)}"


def note_of_receivers(name: str) -> str:
    """What a change of a device's receivers is noted under."""
    return f"{NOTED}{_digest('receivers', name)}"


def _digest(kind: str, name: str) -> str:
    """Notes are shorter than names may be."""
    return hashlib.blake2b(f"{kind}:{name}".encode(), digest_size=16).hexdigest()


# What is pushed


class Sender(msgspec.Struct, frozen=True):
    """Who pushed, as version 2.2 shows it."""

    method: str
    name: str


MAX_TAGS = 20
MAX_TAG = 64  # characters
MAX_CLICK = 2048  # characters

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_RUNS = re.compile(r"(?:javascript|data|vbscript):", re.IGNORECASE)  # where somebody opens it


def check_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """`tags`, if a message can have them. Raises BadInput."""
    if len(tags) > MAX_TAGS or any(len(tag) > MAX_TAG for tag in tags):
        raise BadInput("tags", tags, f"at most {MAX_TAGS} of {MAX_TAG} characters")
    return tuple(tags)


def check_click(link: str) -> str:
    """`link`, if it may be opened. Raises BadInput."""
    if len(link) > MAX_CLICK or not _URL.fullmatch(link) or _RUNS.match(link):
        raise BadInput(
            "click", link, f"a URL that runs no script, of at most {MAX_CLICK} characters"
        )
    return link


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A push as it lies in the store. Fields that were not given are absent there, but for `content`."""

    content: str
    title: str | list[str] | None = None  # a list: given more than once
    priority: int | None = None
    tags: Sequence[str] = ()
    click: str | None = None  # a URL
    extra: Mapping[str, Any] | None = None
    sender: Sender | None = msgspec.field(default=None, name="from")
    send_type: Literal["personal", "group"] | None = msgspec.field(default=None, name="sendType")
    target: str | None = None  # of version 2.2: the device or group that was named


_read = msgspec.json.Decoder(Body).decode
_read_any = msgspec.json.Decoder().decode
_write = msgspec.json.Encoder().encode


def write_body(body: Body) -> bytes:
    """As the store keeps it. Raises BadInput: its extra is nested more deeply than clients can read."""
    try:
        written = _write(body)
    except RecursionError:
        raise BadInput("extra", "a very deep one", f"at most {MAX_DEPTH} nested levels") from None
    return written if body.extra is None else checked_json(written, "extra")


def read_body(stored: bytes) -> Body:
    """What a device is shown. Any other JSON becomes the content: a text as it is, else its JSON."""
    with suppress(msgspec.DecodeError, RecursionError):
        return _read(stored)
    with suppress(msgspec.DecodeError, RecursionError):
        value = _read_any(stored)
        if isinstance(value, str):
            return Body(value)
    return Body(stored.decode(errors="replace"))
