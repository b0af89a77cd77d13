"""Commands of version 2.2: whatever the text, a command or a complaint."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.mpush import Body, Sender
from appmodel.core.mpush_commands import (
    Acknowledge,
    Auth,
    Complaint,
    Ping,
    RegisterFcm,
    RegisterWebPush,
    Send,
    Unregister,
    parse,
)
from appmodel.core.mpush_keys import open_vapid, public_text

BROWSER = {"p256dh": public_text(open_vapid("A" * 42 + "E")), "auth": "A" * 22}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=9,
)
WORDS = st.sampled_from(
    [
        "AUTH",
        "MESSAGE",
        "MESSAGE_CALLBACK",
        "REGISTER_WEBPUSH",
        "REGISTER_FCM",
        "PING",
        "UNREGISTER",
    ]
)
FIELDS = st.sampled_from(
    ["token", "name", "group", "sendType", "target", "message", "mid", "endpoint", "keys"]
)


@pytest.mark.parametrize(
    ("packet", "command"),
    [
        ({"cmd": "PING"}, Ping()),
        ({"cmd": "UNREGISTER", "data": 5}, Unregister()),
        ({"cmd": "AUTH", "data": {"token": 1, "name": True}}, Auth("1", "true", "")),
        ({"cmd": "MESSAGE_CALLBACK", "data": {"mid": 155}}, Acknowledge(155_000)),
        ({"cmd": "MESSAGE_CALLBACK", "data": {"mid": "x"}}, Acknowledge(None)),
        (
            {"cmd": "MESSAGE_WEBPUSH_CALLBACK", "data": {"mid": "1"}},
            Acknowledge(1000, by_webpush=True),
        ),
        ({"cmd": "REGISTER_FCM", "data": {"token": "t"}}, RegisterFcm("t")),
        (
            {
                "cmd": "REGISTER_WEBPUSH",
                "data": {"endpoint": "https://x/", "keys": {**BROWSER, "z": 1}},
            },
            RegisterWebPush("https://x/", BROWSER),
        ),
    ],
)
def test_what_is_said_is_understood(packet: object, command: object) -> None:
    """Texts are String() of what was sent."""
    assert parse(json.dumps(packet)) == command


def test_a_push_is_stored_as_it_was_meant() -> None:
    """Text is the title, desp the content; what cannot be is left out."""
    message = {
        "text": "t",
        "desp": None,
        "extra": [],
        "priority": True,
        "tags": ["a", 1],
        "click": 5,
    }
    data = {"sendType": "group", "target": 7, "message": message}

    command = parse(json.dumps({"cmd": "MESSAGE", "data": data}))

    assert isinstance(command, Send)
    sender = Sender("http", "n")
    assert command.body(sender) == Body(
        "", title="t", tags=("a",), sender=sender, send_type="group", target="7"
    )


@given(
    st.text()
    | st.binary()
    | JSON.map(json.dumps)
    | st.builds(
        lambda cmd, data: json.dumps({"cmd": cmd, "data": data}),
        WORDS | JSON,
        st.dictionaries(FIELDS, JSON, max_size=5) | JSON,
    )
)
def test_no_text_ends_anything(text: str | bytes) -> None:
    """A command, or a complaint."""
    try:
        said = str(parse(text))
    except Complaint as complaint:
        said = str(complaint)[:200]

    assert said


@pytest.mark.parametrize("depth", [100, 500, 900, 1100])
def test_what_is_deep_ends_nothing(depth: int) -> None:
    """Wherever a text is expected, or the command itself."""
    deep = "[" * depth + "]" * depth
    push = '{"cmd":"MESSAGE","data":{"sendType":"personal","target":"a","message":{"text":@}}}'
    for text in (push, '{"cmd":@}', '{"cmd":"AUTH","data":{"name":@}}', "@"):
        try:
            said = str(parse(text.replace("@", deep)))
        except Complaint as complaint:
            said = str(complaint)
        assert said


@pytest.mark.parametrize(
    "more",
    [{"click": "javascript:x"}, {"click": "x" * 3000}, {"tags": ["x"] * 21}, {"tags": ["x" * 65]}],
)
def test_links_and_tags_have_the_bounds_that_they_have_elsewhere(more: dict[str, object]) -> None:
    """The complaint names which."""
    message = {"text": "t", **more}
    data = {"sendType": "personal", "target": "a", "message": message}

    with pytest.raises(Complaint, match=next(iter(more))):
        parse(json.dumps({"cmd": "MESSAGE", "data": data}))


def test_a_broken_command_is_shown_without_its_token() -> None:
    """It comes back to who said it, and goes into its logs."""
    with pytest.raises(Complaint) as complaint:
        parse('{"cmd":"AUTH","data":{"Token":"secret-word"')

    assert "secret-word" not in str(complaint.value)
