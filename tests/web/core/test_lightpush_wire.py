"""What callers of the light-push REST write, and what refusals look like."""

import json
from base64 import b64encode
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.lightpush import Refusal
from appmodel.errors import BadInput, NotFound, PushError, TooLarge, Unavailable
from web.core.lightpush_wire import (
    MAX_FIELDS,
    MAX_FORM,
    Asked,
    Spoken,
    credential,
    read_body,
    refusal,
)

FORM = "application/x-www-form-urlencoded; charset=utf-8"


def base64(text: str) -> str:
    """As a header has it."""
    return b64encode(text.encode()).decode()


@given(st.text("ab/_-#$.\\é", max_size=9), st.text(max_size=9))
def test_a_credential_is_read_with_and_without_the_word_basic(name: str, password: str) -> None:
    """Whatever a password holds, ":" too: it ends nowhere before the end."""
    text = base64(f"{name}:{password}")

    for header in (
        text,
        f"Basic {text}",
        f"basic  {text} ",
        text.rstrip("="),
        text.replace("/", "_"),
    ):
        assert credential(header) == (name, password)


@pytest.mark.parametrize("header", ["Basic", "Basic ", "&&&", "Bearer abc", "Basic ab cd", "/w=="])
def test_what_cannot_be_read_is_nobody(header: str) -> None:
    """No name and no password: nothing that anybody has."""
    assert credential(header) == ("", "")


def test_a_credential_without_a_colon_has_no_password() -> None:
    """W7: that is no way in."""
    assert credential(base64("constructor")) == ("constructor", "")


@pytest.mark.parametrize("header", [None, ""])
def test_no_header_needs_authorization(header: str | None) -> None:
    """400, and nothing but the text."""
    with pytest.raises(Spoken) as refused:
        credential(header)

    assert refusal(refused.value) == (400, "need authorization")


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (
            Refusal("room can not be empty"),
            400,
            '{"code": 9999,"msg": "room can not be empty"}',
        ),
        (BadInput("page", "x", "a number"), 400, None),
        (TooLarge("body: over 1000 bytes"), 413, '{"code": 9999,"msg": "body: over 1000 bytes"}'),
        (NotFound("x"), 404, None),
        (Unavailable("away"), 503, None),
        (Spoken(401, "passwd error"), 401, "passwd error"),
    ],
)
def test_refusals_look_as_the_originals(error: PushError, status: int, text: str | None) -> None:
    """One space after each colon, none after the comma."""
    said = refusal(error)

    assert said[0] == status
    assert text is None or said[1] == text


@given(st.text())
def test_an_error_is_json_whatever_it_quotes(text: str) -> None:
    """W33: the original writes it as it is."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return

    assert json.loads(refusal(Refusal(text))[1]) == {"code": 9999, "msg": text}


def test_a_query_keeps_repeated_fields_in_their_order() -> None:
    """And any text that is not empty is "yes"."""
    asked = Asked("room=r2&room=&room=r1&detail=false&empty=&page=7&size=999&u=%C3%A9+x")

    assert asked.texts("room") == ["r2", "r1"]
    assert asked.text("room") == "r2"
    assert asked.says("detail")
    assert not asked.says("empty")
    assert not asked.says("other")
    assert asked.text("u") == "é x"
    assert asked.number("page", 1, least=1, most=1000) == 7
    assert asked.number("size", 20, least=0, most=500) == 500
    assert asked.number("empty", 20, least=0, most=500) == 20


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "0", "٣", "9" * 19, " 1"])
def test_a_number_is_a_whole_one(text: str) -> None:
    """The original answers 500 to them, or nothing."""
    with pytest.raises(BadInput, match="page"):
        Asked(f"page={quote(text)}").number("page", 1, least=1, most=10)


@pytest.mark.parametrize("query", ["room=%ff", "&".join(["a=1"] * (MAX_FIELDS + 1))])
def test_a_query_that_is_none(query: str) -> None:
    """Bounded, and UTF-8."""
    with pytest.raises(BadInput, match="query"):
        Asked(query)


def test_a_body_is_an_object_or_a_form() -> None:
    """What begins with "{" is JSON, as `curl -d` sends it without saying so."""
    text = b' {"room":"r1","n":[1.5,null]}'

    for kind in ("application/json", "", "text/plain", FORM):
        assert read_body(text, kind) == {"room": "r1", "n": [1.5, None]}
        assert read_body(b" \n", kind) == {}
    assert read_body(b"room=r1&room=r2&x=%7B", FORM) == {"room": "r1", "x": "{"}


@pytest.mark.parametrize(
    "body", [b"[]", b"1", b"null", b'"x"', b"{", b'{"a":"\xff"}', b"[" * 99999]
)
def test_a_body_that_is_none(body: bytes) -> None:
    """400 with koa's text."""
    with pytest.raises(Spoken) as refused:
        read_body(body, "application/json")

    assert refusal(refused.value) == (400, "Bad Request")


def test_a_form_has_a_limit_of_its_own() -> None:
    """56 KiB, as the original's."""
    with pytest.raises(TooLarge):
        read_body(b"a=" + b"x" * MAX_FORM, FORM)


@given(st.binary(max_size=60), st.sampled_from(["application/json", FORM, "text/plain"]))
def test_no_body_raises_anything_else(body: bytes, kind: str) -> None:
    """A mapping, or a refusal."""
    try:
        fields = read_body(body, kind)
    except PushError:
        return

    assert isinstance(fields, dict)
    msgspec.json.encode(fields)
