"""Errors that name the field."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.errors import BadInput
from web.core.decoding import decode
from web.core.payloads import PushRequest

REQUEST = msgspec.json.Decoder(PushRequest)


@pytest.mark.parametrize(
    ("raw", "field", "message"),
    [
        (b'{"to":7,"msg":1}', "to", "got 7, expected str | array, got int"),
        (b'{"to":["a",7],"msg":1}', "to[1]", "got 7, expected str, got int"),
        (b'{"to":"a"}', "msg", "got None, expected a value"),
        (b'{"to":"a","msg":1,"tll":5}', "tll", "got 5, expected no such field"),
        (b'{"to":"a","msg":1,"ttl":true}', "ttl", "got True, expected float | str, got bool"),
        (b"[1]", "body", "got [1], expected object, got array"),
        (b'"x"', "body", "got 'x', expected object, got str"),
        (b"[1", "body", "got '[1', expected a JSON object (Input data was truncated)"),
    ],
)
def test_the_error_says_where_what_and_what_else(raw: bytes, field: str, message: str) -> None:
    """The field's path, the value as the caller wrote it, and what is allowed."""
    with pytest.raises(BadInput) as refused:
        decode(REQUEST, raw)

    assert refused.value.field == field
    assert str(refused.value) == f"{field}: {message}"


@given(
    st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=5),
            lambda s: st.lists(s, max_size=3) | st.dictionaries(st.text(max_size=9), s, max_size=4),
        ).map(msgspec.json.encode),
    )
)
def test_any_bytes_are_a_request_or_bad_input(raw: bytes) -> None:
    """Nothing else comes out, whatever goes in."""
    with suppress(BadInput):
        decode(REQUEST, raw)


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"to":"a","msg":' + b"[" * 100_000, b"\xff"])
def test_what_is_too_deep_or_no_text_is_bad_input(raw: bytes) -> None:
    """A deep nest must not end in a traceback."""
    with pytest.raises(BadInput, match="body"):
        decode(REQUEST, raw)


@pytest.mark.parametrize(
    "raw", [b'{"password":123456}', b'{"new_password":"123456"}', b'{"baseToken":["123456"]}']
)
def test_secrets_are_not_shown(raw: bytes) -> None:
    """Nor what somebody wrote where a secret is meant, or where none belongs."""

    class Login(msgspec.Struct, forbid_unknown_fields=True):
        password: str = ""

    with pytest.raises(BadInput) as refused:
        decode(msgspec.json.Decoder(Login), raw)
    assert "123456" not in str(refused.value)
    assert "********" in str(refused.value)
