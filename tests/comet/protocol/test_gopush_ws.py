"""gopush WebSocket: the handshake's answers and the conversation, spec/gopush.md 1.2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.protocol.http import Request
from comet.protocol.dialect import Acknowledged, Answer, Event, Farewell, Heartbeat, Violation
from comet.protocol.gopush_ws import WsDialect, WsReader, upgrade
from comet.protocol.native import HEARTBEAT_MISSED, SLOW
from comet.protocol.websocket import PONG, TEXT, close_frame, frame

HEADERS = {
    "host": "push.example:6968",
    "upgrade": "websocket",
    "connection": "keep-alive, Upgrade",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}
BEAT = b"\x81\x81\x01\x02\x03\x04" + bytes([ord("h") ^ 1])


def shake(**changed: str | None) -> tuple[int, dict[str, str]]:
    """The answer to a handshake with some headers changed or left out (None)."""
    headers = dict(HEADERS)
    for name, value in changed.items():
        headers.pop(name.replace("_", "-"), None)
        if value is not None:
            headers[name.replace("_", "-")] = value
    response = upgrade(Request(method="GET", path="/sub", headers=headers))
    return response.status, dict(response.headers)


def test_a_good_handshake_is_upgraded() -> None:
    """No extension, no protocol that was not asked for."""
    assert shake() == (
        101,
        {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        },
    )


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"upgrade": None}, 400),
        ({"upgrade": "h2c"}, 400),
        ({"connection": "keep-alive"}, 400),
        ({"sec_websocket_key": None}, 400),
        ({"sec_websocket_key": "short"}, 400),
        ({"sec_websocket_version": "8"}, 400),
        ({"sec_websocket_protocol": "a, b"}, 400),
        ({"upgrade": "WebSocket", "connection": "upgrade"}, 101),
    ],
)
def test_handshakes(changed: dict[str, str | None], status: int) -> None:
    """The statuses of the original's library."""
    assert shake(**changed)[0] == status


def test_a_wrong_version_is_told_the_right_one() -> None:
    """RFC 6455 section 4.2.2."""
    assert shake(sec_websocket_version="8")[1]["Sec-WebSocket-Version"] == "13"


def test_one_protocol_is_echoed() -> None:
    """As in the original."""
    assert shake(sec_websocket_protocol="chat")[1]["Sec-WebSocket-Protocol"] == "chat"


def say(data: bytes, *, native: bool = False) -> list[Event]:
    return list(WsReader(native=native, limit=1000).receive_data(data))


def masked(first: int, payload: bytes) -> bytes:
    return bytes([first, 0x80 | len(payload), 0, 0, 0, 0]) + payload


@pytest.mark.parametrize("first", [0x81, 0x82])
def test_heartbeats_are_text_or_binary(first: int) -> None:
    """Both are accepted, and both have a way around the reader."""
    data = masked(first, b"h")

    assert say(data) == [Heartbeat()]
    assert WsDialect(version="", limit=9).is_beat(data)


@given(st.binary(max_size=8))
def test_the_short_way_only_takes_heartbeats(data: bytes) -> None:
    """What it takes, the reader takes for a heartbeat too."""
    if WsDialect(version="", limit=9).is_beat(data):
        assert say(data) == [Heartbeat()]


def test_a_masked_heartbeat_has_a_short_way() -> None:
    """With a real mask."""
    assert WsDialect(version="", limit=9).is_beat(BEAT)


def test_protocol_frames_are_answered() -> None:
    """A ping by a pong, a close by a close of the same code."""
    assert say(masked(0x89, b"?") + masked(0x88, b"\x0f\xa0")) == [
        Answer(frame(PONG, b"?")),
        Farewell(close_frame(4000)),
    ]


@pytest.mark.parametrize("payload", [b"", b"hh", b"H", b'{"ack":[1]}'])
def test_a_legacy_client_is_dropped_without_a_close_frame(payload: bytes) -> None:
    """For any message other than the heartbeat; the browser sees 1006."""
    with pytest.raises(Violation) as caught:
        say(masked(0x81, payload))

    assert caught.value.last_words == b""


def test_an_unmasked_frame_is_closed_with_1002() -> None:
    """Also for a legacy client: the original's only exception."""
    with pytest.raises(Violation) as caught:
        say(b"\x81\x01h")

    assert caught.value.last_words.startswith(b"\x88")
    assert caught.value.last_words[2:4] == (1002).to_bytes(2, "big")


def test_version_2_acknowledges() -> None:
    """In text or binary messages."""
    assert say(masked(0x81, b'{"ack":[3]}'), native=True) == [Acknowledged(3)]


def test_version_2_is_told_what_was_wrong() -> None:
    """Code 4400 and a reason."""
    with pytest.raises(Violation) as caught:
        say(masked(0x81, b"?"), native=True)

    assert caught.value.last_words[2:4] == (4400).to_bytes(2, "big")


def test_the_envelopes_of_the_spec() -> None:
    """Bare JSON in one text frame; the old form holds the text as it was pushed."""
    new, old = WsDialect(version="1.0", limit=9), WsDialect(version="", limit=9)

    assert new.encode(13996474938346192, b'{ "test":1 }') == frame(
        TEXT, b'{"msg":{"test":1},"mid":13996474938346192,"gid":0}'
    )
    assert old.encode(1, b'{ "test":1 }') == frame(
        TEXT, b'{"msg":"{ \\"test\\":1 }","mid":1,"gid":0}'
    )


@pytest.mark.parametrize(
    ("version", "slow", "silent"),
    [
        ("", close_frame(1000), b""),
        ("1", close_frame(1000), b""),
        ("2", close_frame(4001, "slow"), close_frame(4002, "heartbeat missed")),
    ],
)
def test_how_it_ends(version: str, slow: bytes, silent: bytes) -> None:
    """Legacy: 1000 by the server's decision, nothing for a missed heartbeat. Version 2: why."""
    dialect = WsDialect(version=version, limit=9)

    assert dialect.goodbye(SLOW) == slow
    assert dialect.goodbye(HEARTBEAT_MISSED) == silent
