"""Who a client of light-push says it is."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appmodel.core.lightpush import MAX_CLIENT_ID, Platform
from comet.core.lightpush_identity import Identity, identify, merge
from comet.core.rules import Refused


def test_the_id_is_made_of_namespace_user_platform_and_device() -> None:
    """As callers of REST and other clients see it."""
    found = identify("/demo", {"uuid": "edgw453", "userid": "u001", "platform": "ios"})

    assert found == Identity("/demo#u001#ios-edgw453", "u001", "edgw453", Platform.IOS, False)


def test_user_and_platform_may_be_missing() -> None:
    """The device is its own user, on the web."""
    for query in ({"uuid": "d1"}, {"uuid": "d1", "userid": "", "platform": ""}):
        assert identify("/demo", query).client == "/demo#d1#web-d1"


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({}, "uuid invalid"),
        ({"uuid": ""}, "uuid invalid"),
        ({"uuid": "a b"}, "uuid invalid"),
        ({"uuid": "d1\n"}, "uuid invalid"),
        ({"uuid": "ä"}, "uuid invalid"),
        ({"uuid": "a" * 101}, "uuid invalid"),
        ({"uuid": "a@b", "userid": "c@d"}, "uuid invalid"),  # the first that is wrong
        ({"uuid": "d1", "userid": "a,b"}, "userid invalid"),
        ({"uuid": "d1", "userid": "a" * 101}, "userid invalid"),
        ({"uuid": "d1", "userid": "a:b", "platform": "tv"}, "userid invalid"),
        ({"uuid": "d1", "platform": "tv"}, "platform invalid"),
        ({"uuid": "d1", "platform": "IOS"}, "platform invalid"),
    ],
)
def test_what_can_be_no_client_is_refused_with_the_original_text(
    query: dict[str, str], text: str
) -> None:
    """And a client of 2.x reads first that it was disconnected."""
    with pytest.raises(Refused) as refusal:
        identify("/demo", query)

    assert (refusal.value.message, refusal.value.closes) == (text, True)


def test_the_longest_names_are_names() -> None:
    """At most what stores keep of an id."""
    query = {"uuid": "u" * 100, "userid": "a" * 100, "platform": "android"}

    assert len(identify("/" + "n" * 49, query).client) == MAX_CLIENT_ID


@pytest.mark.parametrize(
    ("text", "announces"), [("", False), ("false", False), ("true", True), ("1", True), ("x", True)]
)
def test_any_text_but_false_announces(text: str, announces: bool) -> None:
    """The manual says true or false; the original takes "false" for true."""
    assert identify("/demo", {"uuid": "d1", "activityBroadcast": text}).announces is announces


def test_the_url_wins_over_the_connect() -> None:
    """What is checked is what counts: nobody passes with one name and enters under another."""
    query = merge({"uuid": "other", "more": "1"}, {"uuid": "mine", "EIO": "3"})

    assert query == {"uuid": "mine", "more": "1", "EIO": "3"}


def test_a_payload_of_socket_io_5_counts_as_a_query() -> None:
    """Texts, numbers, truth values; nothing else stands in a URL."""
    asked = {"uuid": 17, "flag": True, "half": 0.5, "deep": {"a": 1}, "list": [1], "none": None}

    assert merge(asked, {}) == {"uuid": "17", "flag": "true", "half": "0.5"}


@settings(max_examples=30)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_no_payload_is_too_strange(asked: object) -> None:
    """It is refused or taken, and nothing else happens."""
    with suppress(Refused):
        identify("/demo", merge(asked, {}))
