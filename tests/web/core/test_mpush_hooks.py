"""How a message is told to a web hook."""

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.lightpush_records import Hidden
from appmodel.core.message import Stored
from appmodel.core.mpush import Body, write_body
from appmodel.errors import TooLarge
from web.core.mpush_copies import Copy, make_copy
from web.core.mpush_hooks import Hook, call_of

ID = 1_557_901_952_810_000
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


def a_copy(**said: Any) -> Copy:
    return make_copy("nas", Stored(ID, write_body(Body(**said)), 4e9))


@given(extra=st.dictionaries(st.text(max_size=8), values, max_size=4), content=st.text(max_size=20))
def test_a_query_holds_all_of_a_message(extra: dict[str, Any], content: str) -> None:
    """Whatever there is in `extra`: a parameter each, which covers none of the message's own."""
    call = call_of(Hook("nas", "https://a/in", "GET"), a_copy(content=content, extra=extra))

    found = parse_qsl(urlsplit(call.url).query, keep_blank_values=True, strict_parsing=True)
    told = dict(found)
    assert len(told) == len(found)
    own = {
        "text": "",
        "desp": content,
        "sendType": "personal",
        "target": "nas",
        "mid": str(ID // 1000),
    }
    assert {name: told[name] for name in own} == own
    assert json.loads(told["from"]) == {"method": "http", "name": "anonymous"}
    for name in extra.keys() - own.keys() - {"from"}:
        value = extra[name]
        assert told[name] == value if isinstance(value, str) else json.loads(told[name]) == value


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_secret_of_a_hook_is_in_its_header_alone(method: Any) -> None:
    """And in no text that is shown."""
    hook = Hook("nas", "https://a/in", method, Hidden("hush"))

    call = call_of(hook, a_copy(content="x"))

    assert ("Authorization", "hush") in call.headers
    assert "hush" not in f"{hook}{call.url}{call.body!r}"
    assert not [
        name
        for name, _ in call_of(Hook("nas", "https://a/in"), a_copy(content="")).headers
        if name == "Authorization"
    ]


def test_what_fits_into_no_url_is_refused() -> None:
    """With its size, and the way out; a body has room."""
    large = a_copy(content="x" * 5000)

    with pytest.raises(TooLarge, match=r"5\d{3} characters, at most 4096: POST"):
        call_of(Hook("nas", "https://a/in", "GET"), large)

    assert len(call_of(Hook("nas", "https://a/in"), large).body) > 5000


def test_what_others_pushed_has_a_title_of_one_text() -> None:
    """One that was given twice is joined; priority is told for who wants it."""
    copy = a_copy(content="c", title=["a", "b"], priority=5)

    assert (copy.title, copy.priority, copy.mid) == ("a,b", 5, "1557901952810")
    assert json.loads(copy.message)["message"] == {
        "text": "a,b",
        "desp": "c",
        "extra": {},
        "priority": 5,
    }
