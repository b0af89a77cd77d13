"""Fields into the message that is kept."""

from collections.abc import Mapping
from typing import Any

import pytest

from appmodel.core.mpush import Body, write_body
from appmodel.errors import BadInput, TooLarge
from web.core.mpush_drafts import KNOWN, Draft, encode_body, read_draft, read_draft_2

NOW = 1_700_000_000.0


def draft(**fields: Any) -> Draft:
    """Of the seed's way, where nothing unknown is allowed."""
    return read_draft(fields, unknown="refuse", now=NOW)


@pytest.mark.parametrize(
    ("fields", "written"),
    [
        ({}, b'{"content":""}'),  # an empty push is one
        ({"content": "c"}, b'{"content":"c"}'),  # no title: no key
        ({"title": "", "content": "c"}, b'{"content":"c","title":""}'),
        ({"title": ["a", "b"]}, b'{"content":"","title":["a","b"]}'),
        ({"title": None, "content": None}, b'{"content":""}'),
        ({"content": ["a", "b"]}, b'{"content":"a\\nb"}'),
        ({"title": 5, "content": 1.5}, b'{"content":"1.5","title":"5"}'),
    ],
)
def test_the_body_has_content_always_and_a_title_if_one_was_given(
    fields: dict[str, Any], written: bytes
) -> None:
    """What is not text in JSON is written as JSON writes it."""
    assert write_body(draft(**fields).body) == written


@pytest.mark.parametrize("name", ["content", "desp", "message", "body"])
def test_content_has_the_words_of_others(name: str) -> None:
    """Serverchan, Gotify, ntfy, Bark."""
    assert draft(**{"title": "t", name: "c"}).body == Body("c", "t")
    assert draft(**{"text": "t", name: "c"}).body == Body("c", "t")


def test_text_is_the_title_unless_there_is_one() -> None:
    """Serverchan's `text` is a title; with a title it can only be the rest."""
    assert draft(text="t").body == Body("", "t")
    assert draft(title="t", text="c").body == Body("c", "t")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"content": "a", "desp": "b"}, "desp: got 'b', expected nothing, for there is 'content'"),
        ({"title": "t", "text": "a", "content": "b"}, "text: got 'a'"),
        ({"titel": "t"}, "parameter 'titel': got 't', expected one of at, body, click, content"),
        ({"content": {}}, "content: got {}, expected a text"),
        ({"title": [["a"]]}, "title: got ['a'], expected a text"),
        ({"priority": "6"}, "priority: got '6', expected 1 to 5"),
        ({"priority": ["1", "2"]}, "priority: got ['1', '2'], expected one value"),
        ({"tags": ",".join("x" * 21)}, "tags: got"),
        ({"tags": "y" * 65}, "tags: got"),
        ({"click": "example.com"}, "click: got 'example.com', expected a URL"),
        ({"click": "JavaScript:alert(1)"}, "click: got"),
        ({"extra": "no"}, "extra: got 'no', expected a JSON object"),
        ({"extra": "[" * 9999}, "extra: got"),
        ({"delay": "soon"}, "delay: got 'soon', expected a duration such as"),
        ({"delay": "1h", "at": "1700000001"}, "at: got '1700000001', expected nothing"),
        ({"at": "1699999999"}, "at: got '1699999999', expected a time that is still to come"),
        ({"at": "2023-11-15T00:00:00"}, "at: got '2023-11-15T00:00:00', expected Unix time"),
        ({"at": "tomorrow"}, "at: got 'tomorrow'"),
    ],
)
def test_what_cannot_be_is_named(fields: dict[str, Any], message: str) -> None:
    """Field, value, what was expected."""
    with pytest.raises(BadInput) as refused:
        draft(**fields)

    assert str(refused.value).startswith(message)


def test_what_nobody_knows_may_be_ignored() -> None:
    """As the seed does. A token is never part of a message."""
    assert read_draft({"a": "b", "token": "s"}, unknown="ignore", now=NOW).body == Body("")
    assert draft(token="s").body == Body("")


def test_more_than_a_text() -> None:
    """Priorities have names, tags have commas or are a list, extra is an object or its JSON."""
    body = Body("", priority=5, tags=("a", "b"), click="app://x?y", extra={"k": [1]})

    assert draft(priority="urgent", tags="a, b,", click="app://x?y", extra='{"k":[1]}').body == body
    assert draft(priority=5, tags=["a", "b"], click="app://x?y", extra={"k": [1]}).body == body


@pytest.mark.parametrize(
    ("fields", "due"),
    [
        ({}, None),
        ({"delay": "0"}, None),
        ({"delay": "10m"}, NOW + 600),
        ({"delay": 90}, NOW + 90),
        ({"at": "1700000100"}, NOW + 100),
        ({"at": 1700000100500}, NOW + 100.5),
        ({"at": "2023-11-14T22:15:00Z"}, NOW + 100),
        ({"at": "2023-11-14T23:15:00+01:00"}, NOW + 100),
    ],
)
def test_a_push_may_wait_for_its_time(fields: dict[str, Any], due: float | None) -> None:
    """A duration, or an instant that is the same everywhere."""
    assert draft(**fields).due == due


def body_2(fields: Mapping[str, Any]) -> Body:
    """What is pushed at once, by the way of version 2.2."""
    body, due = read_draft_2(fields, now=0)
    assert due is None
    return body


def test_version_2_takes_all_else_as_extra() -> None:
    """Titles, priorities and all: its clients look for them there."""
    fields = {"text": "t", "desp": "d", "title": "x", "url": ["a", "b"], "token": "s"}

    assert body_2(fields) == Body("d", "t", extra={"title": "x", "url": ["a", "b"]})
    assert body_2({"extra": {"a": 1}, "b": 2}) == Body("", extra={"a": 1, "b": 2})
    assert body_2({"extra": "plain"}) == Body("", extra={"extra": "plain"})
    assert read_draft_2({"text": "t", "delay": "10m"}, now=0) == Draft(Body("", "t"), 600)


def test_a_body_is_bounded() -> None:
    """In bytes, as it is kept, and in depth: every node and client must be able to read it."""
    assert len(encode_body(Body("x" * 85), 100)) == 99
    with pytest.raises(TooLarge, match=r"^message: 101 bytes, at most 100$"):
        encode_body(Body("x" * 87), 100)

    deep: Any = {}
    for _ in range(200):
        deep = {"a": deep}
    with pytest.raises(BadInput, match=r"^extra: .*nested"):
        encode_body(Body("", extra=deep), 10_000)


def test_the_frame_knows_what_a_draft_knows() -> None:
    """So that a form is recognised by its fields."""
    for name in KNOWN - {"delay", "at", "priority", "click", "extra"}:
        draft(**{name: "x"})
