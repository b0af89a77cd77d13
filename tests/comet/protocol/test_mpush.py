"""The seed version's frames: what is stored is shown, and whatever a client says, nothing is raised."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.clock import MAX_ID
from appmodel.core.mpush import mid_of
from comet.protocol.mpush import SeedDialect, Sent, acknowledged, login_frame
from comet.protocol.mpush_v2 import V2Dialect, is_command

MID = st.integers(10**15, MAX_ID)


def shown(frame: bytes) -> object:
    """The JSON of a server's frame."""
    start = {126: 4, 127: 10}.get(frame[1], 2)
    return json.loads(frame[start:])


def test_texts_are_written_as_javascript_does() -> None:
    """Nothing is escaped that JSON.stringify does not escape."""
    body = msgspec.json.encode({"title": 'é"\\\n\t\x01\u2028', "content": "/</é"})

    frame = SeedDialect().encode(1557901952810000, body)

    expected = '{"title":"é\\"\\\\\\n\\t\\u0001\u2028","content":"/</é","mid":"1557901952810"}'
    assert expected.encode() in frame


def test_a_name_is_answered_as_it_was_received() -> None:
    """Whatever it is called."""
    assert shown(login_frame('"测"')) == {"cmd": "LOGIN", "data": {"name": '"测"'}}


@given(st.lists(st.tuples(MID, st.binary() | st.text().map(msgspec.json.encode)), min_size=1))
def test_any_body_can_be_shown_in_both_versions(messages: list[tuple[int, bytes]]) -> None:
    """What others pushed, or damaged in the store, is content."""
    found = shown(SeedDialect().frame([Sent(*message) for message in messages]))

    assert isinstance(found, dict)
    mids = [item["mid"] for item in found["data"]["msgList"]]
    assert mids == [mid_of(message_id) for message_id, _ in messages]
    two = shown(V2Dialect("n").encode(*messages[0]))
    assert isinstance(two, dict)
    assert (two["data"]["mid"], two["data"]["target"]) == (mids[0], "n")


@given(st.text() | st.binary() | st.lists(st.integers() | st.text() | st.none()).map(json.dumps))
def test_no_text_is_an_error(text: str | bytes) -> None:
    """It acknowledges nothing then."""
    assert acknowledged(text) == []


@given(st.lists(st.integers(0, 10**13 - 1)))
def test_mids_are_texts_or_numbers(mids: list[int]) -> None:
    """The original answers the pusher for a number and keeps the message: here both count."""
    for kind in (str, int):
        packet = {"cmd": "SENDMSG_CB", "data": {"midList": [kind(mid) for mid in mids]}}
        assert acknowledged(json.dumps(packet)) == [
            mid * 1000 for mid in mids if mid * 1000 <= MAX_ID
        ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"cmd":"PING"}', True),
        (' {"cmd":null}', True),
        ('{"cmd":"SENDMSG_CB"}', False),
        ("{}", False),
        ('["cmd"]', False),
        ("mpush", False),
        ("{" * 9999, False),
    ],
)
def test_a_first_text_tells_the_versions_apart(text: str, found: bool) -> None:
    """A token is no JSON object with a command; the seed's own command before its login is a wrong token."""
    assert is_command(text) is found
