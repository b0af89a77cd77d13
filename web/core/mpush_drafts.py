"""What a caller wants pushed: fields into the body that the store keeps, and when it is due.

    field      also called            is
    title      text                   a text; given twice it is a list, as the seed makes it
    content    desp, message, body    a text, "" if there is none; beside a title also `text`
    priority                          1 to 5, or min, low, default, high, max (urgent)
    tags                              a, b        at most 20
    click                             a URL
    extra                             a JSON object
    delay, at                         10m, or an instant: Unix seconds or ms, or ISO 8601 with its zone

Of `name.send` and `name.group` only `text`, `desp` and (ours) `delay` have a meaning: whatever else there is becomes
`extra`, as in version 2.2. Elsewhere a field that nobody knows is refused by name, or ignored as the seed does
(web.mpush.unknown).

Source: spec/mpush.md 4.3, 7.1, 9, 11.5; research/simple-peers.md: the words of ntfy, Gotify, Bark and Serverchan.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec

from appmodel.core.mpush import Body, check_click, check_tags, write_body
from appmodel.core.units import Duration
from appmodel.errors import BadInput, TooLarge
from web.core.mpush_fields import Fields

CONTENT = ("content", "desp", "message", "body")
KNOWN = frozenset({"title", "text", *CONTENT, "priority", "tags", "click", "extra", "delay", "at"})
KNOWN_2 = frozenset({"text", "desp", "delay"})  # in paths of version 2.2
TOKEN = "token"  # noqa: S105  the name of the field that proves a caller: never part of a message

PRIORITIES = {"min": 1, "low": 2, "default": 3, "high": 4, "max": 5, "urgent": 5}  # ntfy's
MS_DIGITS = 12  # of a number of at least as many digits: it counts ms, not seconds

_NUMBER = re.compile(r"[0-9]{1,15}")

Unknown = Literal["refuse", "ignore"]


class Draft(NamedTuple):
    """What is to be pushed, and when."""

    body: Body
    due: float | None = None  # Unix seconds; None = now


def read_draft(fields: Fields, *, unknown: Unknown, now: float) -> Draft:
    """The seed's way. `now`: Unix seconds.

    Raises:
        BadInput: a field that is unknown, given twice under two names, or not of its shape.
    """
    if unknown == "refuse":
        check_known(fields)
    titles, contents = _titles(fields), _contents(fields)
    title: str | list[str] | None = titles[0] if len(titles) == 1 else titles or None
    body = Body(
        "\n".join(contents),
        title,
        priority=_priority(fields),
        tags=_tags(fields),
        click=_click(fields),
        extra=_extra(fields),
    )
    return Draft(body, _due(fields, now))


def read_draft_2(fields: Fields, *, now: float) -> Draft:
    """The way of version 2.2: all that is neither `text`, `desp` nor `delay` is extra.

    Raises:
        BadInput: one of them is not of its shape.
    """
    extra: dict[str, Any] = {}
    for name, value in fields.items():
        if name == "extra" and isinstance(value, Mapping):
            extra.update(value)
        elif name not in KNOWN_2 and name != TOKEN:
            extra[name] = value
    texts = _texts("text", fields.get("text"))
    body = Body(
        "\n".join(_texts("desp", fields.get("desp"))),
        "\n".join(texts) if texts else None,
        extra=extra or None,
    )
    return Draft(body, _delay(fields, now))


def check_known(fields: Fields) -> None:
    """Raises BadInput naming the first field that has no meaning here."""
    for name, value in fields.items():
        if name not in KNOWN and name != TOKEN:
            expected = f"one of {', '.join(sorted(KNOWN))}; a message as it is goes as text/plain"
            raise BadInput(f"parameter {name[:40]!r}", value, expected)


def encode_body(body: Body, limit: int) -> bytes:
    """As the store keeps it.

    Raises:
        TooLarge: over `limit` bytes.
        BadInput: its extra is nested too deeply.
    """
    written = write_body(body)
    if len(written) > limit:
        raise TooLarge(f"message: {len(written)} bytes, at most {limit}")
    return written


def _titles(fields: Fields) -> list[str]:
    return _texts("title", fields["title"] if "title" in fields else fields.get("text"))


def _contents(fields: Fields) -> list[str]:
    names = [name for name in CONTENT if name in fields]
    if "title" in fields and "text" in fields:
        names.append("text")
    if len(names) > 1:
        expected = f"nothing, for there is {names[0]!r} already"
        raise BadInput(names[1], fields[names[1]], expected)
    return _texts(names[0], fields[names[0]]) if names else []


def _texts(field: str, value: Any) -> list[str]:
    """All values of a field. Numbers and booleans of JSON are written as JSON does."""
    texts = []
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, str):
            texts.append(one)
        elif isinstance(one, bool | int | float):
            texts.append(msgspec.json.encode(one).decode())
        elif one is not None:
            raise BadInput(field, one, "a text")
    return texts


def _one(fields: Fields, field: str) -> str:
    """The text of a field, "" if it was not given."""
    texts = _texts(field, fields.get(field))
    if len(texts) > 1:
        raise BadInput(field, texts, "one value")
    return texts[0].strip() if texts else ""


def _priority(fields: Fields) -> int | None:
    text = _one(fields, "priority").lower()
    if not text:
        return None
    if text in PRIORITIES:
        return PRIORITIES[text]
    if text in {"1", "2", "3", "4", "5"}:
        return int(text)
    raise BadInput("priority", text, f"1 to 5, or one of {', '.join(PRIORITIES)}")


def _tags(fields: Fields) -> tuple[str, ...]:
    texts = _texts("tags", fields.get("tags"))
    return check_tags([tag for text in texts for each in text.split(",") if (tag := each.strip())])


def _click(fields: Fields) -> str | None:
    text = _one(fields, "click")
    return check_click(text) if text else None


def _extra(fields: Fields) -> Mapping[str, Any] | None:
    value = fields.get("extra")
    if value is None or isinstance(value, Mapping):
        return value
    try:
        value = msgspec.json.decode(_one(fields, "extra"))
    except (msgspec.DecodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BadInput("extra", fields["extra"], "a JSON object")
    return value


def _due(fields: Fields, now: float) -> float | None:
    at = _one(fields, "at")
    if not at:
        return _delay(fields, now)
    if _one(fields, "delay"):
        raise BadInput("at", at, "nothing, for there is 'delay' already")
    return _instant(at, now)


def _delay(fields: Fields, now: float) -> float | None:
    delay = _one(fields, "delay")
    if not delay:
        return None
    try:
        seconds = Duration.parse(delay)
    except (ValueError, OverflowError) as error:
        raise BadInput("delay", delay, str(error).removeprefix("expected ")) from None
    return now + seconds if seconds else None


def _instant(at: str, now: float) -> float:
    due = None
    if _NUMBER.fullmatch(at):
        due = int(at) / 1000 if len(at) >= MS_DIGITS else float(at)
    else:
        try:
            moment = datetime.fromisoformat(at)
        except ValueError:
            moment = None
        if moment is not None and moment.tzinfo is not None:
            due = moment.timestamp()
    if due is None:
        raise BadInput("at", at, "Unix time in seconds or ms, or ISO 8601 with its zone")
    if due < now:
        raise BadInput("at", at, "a time that is still to come")
    return due
