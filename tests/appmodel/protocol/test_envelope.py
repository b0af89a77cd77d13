"""The JSON that clients see, byte for byte as Go writes it."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.errors import BadInput
from appmodel.protocol.envelope import (
    MAX_DEPTH,
    checked_json,
    compact,
    jsonp,
    new_envelope,
    old_envelope,
    reply,
)

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b' { "a" : 1.0, "b":[1e5 ] } ', b'{"a":1.0,"b":[1e5]}'),
        (b'"<a>&"', b'"\\u003ca\\u003e\\u0026"'),
        ('"\u2028\u2029中"'.encode(), '"\\u2028\\u2029中"'.encode()),
        (b"123456789012345678901234567890", b"123456789012345678901234567890"),
        (b'"\\u4e2d\\/"', b'"\\u4e2d\\/"'),
        (b'{"a":1,"a":2}', b'{"a":1,"a":2}'),
    ],
)
def test_compact_keeps_every_spelling(body: bytes, text: bytes) -> None:
    """Only white space goes, and what is dangerous in HTML is escaped."""
    assert compact(checked_json(body, "msg")) == text


@given(values, st.integers(1, 2**53 - 1))
def test_both_envelopes_carry_the_value(value: object, message_id: int) -> None:
    """The new one embeds it, the old one holds its text exactly as pushed."""
    try:
        body = checked_json(json.dumps(value, indent=1).encode(), "msg")
    except BadInput:
        return  # a lone surrogate: msgspec refuses what Go would mangle

    new = json.loads(new_envelope(message_id, body))
    old = json.loads(old_envelope(message_id, body))

    assert new == {"msg": value, "mid": message_id, "gid": 0}
    assert old == {"msg": body.decode(), "mid": message_id, "gid": 0}


@given(values)
def test_envelopes_have_no_line_breaks(value: object) -> None:
    """A line-oriented TCP client can read them."""
    body = msgspec.json.format(msgspec.json.encode(value), indent=2)

    assert b"\n" not in new_envelope(1, body) + old_envelope(1, body)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b"{'a':1}",
        b"[1,]",
        b"NaN",
        b'"\xff"',
        b"1 2",
        b"[" * 100_000,
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b'{"a":' * 900 + b"1" + b"}" * 900,
    ],
)
def test_what_is_not_json_is_refused(raw: bytes) -> None:
    """With the field's name, and without a crash."""
    with pytest.raises(BadInput, match=r"^msg: "):
        checked_json(raw, "msg")


def test_brackets_in_strings_are_not_depth() -> None:
    """Only real nesting counts."""
    body = json.dumps("[{" * 1000 + '\\"').encode()

    assert checked_json(body, "msg") == body
    assert checked_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, "msg")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (reply(), b'{"ret":0}'),
        (reply(1001), b'{"ret":1001}'),
        (reply(0, {"server": "h:1"}), b'{"data":{"server":"h:1"},"ret":0}'),
        (reply(0, {"a": 1}, msg="ok"), b'{"data":{"a":1},"msg":"ok","ret":0}'),
        (reply(65535, {"a": 1}), b'{"ret":65535}'),
        (reply(0, {"a": "<"}), b'{"data":{"a":"\\u003c"},"ret":0}'),
    ],
)
def test_replies(answer: bytes, text: bytes) -> None:
    """Members in alphabetical order; data only with ret 0."""
    assert answer == text


def test_jsonp() -> None:
    """No semicolon, as in the original."""
    assert jsonp("jQuery1.cb_$", b'{"ret":0}') == b'jQuery1.cb_$({"ret":0})'


@pytest.mark.parametrize("name", ["", "alert(1)", "<script>", "a b", "é", "a" * 129, "a\n"])
def test_a_callback_is_only_a_name(name: str) -> None:
    """S9: the original echoes anything into the page."""
    with pytest.raises(BadInput, match="callback"):
        jsonp(name, b"{}")
