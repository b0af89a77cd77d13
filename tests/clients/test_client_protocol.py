"""What the Python client makes of the comet's words and endings, without a socket."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from appmsg_client.protocol import (
    Ending,
    Heard,
    Message,
    Move,
    Position,
    ProtocolFault,
    checked_server,
    next_move,
    pause,
    read_text,
    subscribe_target,
    write_ack,
)
from hypothesis import given
from hypothesis import strategies as st

ENDINGS = json.loads((Path(__file__).parent / "endings.json").read_text())
SERVER = "ws://10.0.0.1:6968/sub"


@pytest.mark.parametrize("case", ENDINGS, ids=lambda case: f"{case['code']} {case['reason']}")
def test_the_ending_says_where_to_go(case: dict[str, Any]) -> None:
    """The table of docs/protocol.md, the same for the Python and the JavaScript client."""
    places = {
        "nowhere": Move(stop=True),
        "same": Move(server=SERVER),
        "web": Move(at_once=case["at_once"]),
    }

    move = next_move(
        Ending(case["code"], case["reason"]), SERVER, welcomed=case["welcomed"], tries=1
    )

    assert move == places.get(case["to"], Move(server=case["to"], at_once=case["at_once"]))


def test_comets_that_send_a_client_to_each_other_do_not_make_it_spin() -> None:
    """Only the first move is at once; until a connection proves itself, others wait."""
    moved = Ending(4000, "moved ws://10.0.0.2:6968")

    first, second = (next_move(moved, SERVER, welcomed=True, tries=tries) for tries in (1, 2))

    assert first.at_once
    assert not second.at_once


def test_a_move_never_leaves_tls() -> None:
    """The ticket goes along with the client, so a bare line is no place to be sent to."""
    bare, secure = (
        next_move(Ending(4000, f"moved {url}"), "wss://n1.example", welcomed=True, tries=0)
        for url in ("ws://n2.example", "wss://n2.example")
    )

    assert bare.server is None
    assert secure.server == "wss://n2.example"


@given(tries=st.integers(0, 10_000), chance=st.floats(0, 1, exclude_max=True))
def test_a_pause_is_between_0_and_its_limit(tries: int, chance: float) -> None:
    """Full jitter: 0 to min(30 s, 0.5 s × 2^n)."""
    waited = pause(tries, chance)

    assert 0 <= waited <= min(30.0, 0.5 * 2.0 ** min(tries, 100))


def test_a_pause_uses_all_of_its_range() -> None:
    """The same chance spreads wider with every try, up to half a minute."""
    assert [pause(n, 0.5) for n in (0, 1, 2, 5, 6, 60)] == [0.25, 0.5, 1.0, 8.0, 15.0, 15.0]


@given(st.text() | st.binary())
def test_no_words_raise_anything_but_their_own_error(words: str | bytes) -> None:
    """Whatever a comet says, the client survives it."""
    with suppress(ProtocolFault):
        read_text(words)


@pytest.mark.parametrize(
    "words",
    [
        "[" * 100_000,
        "1" * 5_000,  # more digits than Python converts
        '{"msg":1,"mid":true}',
        '{"msg":1,"mid":1.0}',
        '{"msg":1,"mid":-1}',
        '{"msg":1,"mid":9007199254740992}',
        '{"msg":1}',
        '{"mid":1}',
        "+h",
        b"+h\r\n",
        "",
    ],
    ids=lambda words: words[:20],
)
def test_what_is_no_message_is_not_taken_for_one(words: str | bytes) -> None:
    """An id is an integer from 0 to 2**53 - 1, and there is a `msg`; a reply is whole, and text."""
    with pytest.raises(ProtocolFault):
        read_text(words)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("+h\r\n", Heard()),
        ("-p\r\n", Ending(4400, "bad parameter")),
        ("-a\r\n", Ending(4401, "ticket refused")),
        ("-n\r\n", Ending(4000, "moved")),
        (
            '{"msg":{"a":1},"mid":7,"gid":0}',
            Message(7, {"a": 1}, '{"msg":{"a":1},"mid":7,"gid":0}'),
        ),
        ('{"msg":null,"mid":0}', Message(0, None, '{"msg":null,"mid":0}')),
        (
            '{"msg":1,"mid":7,"gid":0,"live":true}',
            Message(7, 1, '{"msg":1,"mid":7,"gid":0,"live":true}', live=True),
        ),
        (
            '{"msg":1,"mid":7,"live":false}',
            Message(7, 1, '{"msg":1,"mid":7,"live":false}'),
        ),
    ],
)
def test_the_comet_has_five_things_to_say(text: str, meaning: object) -> None:
    """Welcome or heartbeat, three refusals, and a message; unknown members are left alone."""
    assert read_text(text) == meaning


@given(
    begin=st.none() | st.integers(0, 10),
    frames=st.lists(st.tuples(st.integers(0, 20), st.booleans())),
)
def test_no_live_message_hides_a_stored_one(
    begin: int | None, frames: list[tuple[int, bool]]
) -> None:
    """Take the live ones out, and stored ones and the position are what they were; each comes once."""

    def run(frames: list[tuple[int, bool]]) -> tuple[list[tuple[int, bool]], int | None]:
        position, taken = Position(begin), []
        for mid, live in frames:
            message = Message(mid, None, "", live)
            if position.is_new(message):
                position.advance(message)
                taken.append((mid, live))
        return taken, position.mid

    taken, mid = run(frames)

    stored = [frame for frame in taken if not frame[1]]
    assert (stored, mid) == run([frame for frame in frames if not frame[1]])
    assert mid == max([frame[0] for frame in stored], default=begin)
    assert [frame for frame in taken if frame[1]] == sorted({frame for frame in taken if frame[1]})


def test_a_live_message_is_new_above_both_positions() -> None:
    """Above the last stored one and above the last live one."""
    position = Position(5)

    new = [position.is_new(Message(mid, None, "", live=True)) for mid in (5, 6)]
    position.advance(Message(8, None, "", live=True))
    new += [position.is_new(Message(mid, None, "", live=True)) for mid in (8, 9)]

    assert new == [False, True, False, True]


@given(key=st.text(min_size=1), token=st.text(), mid=st.none() | st.integers(0, 2**53 - 1))
def test_what_is_asked_for_arrives(key: str, token: str, mid: int | None) -> None:
    """Key and ticket may hold any character; what is not given is not sent."""
    url = urlsplit("ws://comet" + subscribe_target(SERVER, key, 30, token, mid))

    query = parse_qs(url.query, strict_parsing=True, errors="surrogatepass")
    assert url.path == "/sub"
    assert query == {
        "key": [key],
        "heartbeat": ["30"],
        "ver": ["2"],
        **({"token": [token]} if token else {}),
        **({} if mid is None else {"mid": [str(mid)]}),
    }


@pytest.mark.parametrize("server", ["ws://a:1", "ws://a:1/", "ws://a:1/sub"])
def test_a_server_without_a_path_is_asked_at_sub(server: str) -> None:
    """However the comet, or whoever sent us there, writes its address."""
    assert subscribe_target(server, "k", 30, "", None) == "/sub?key=k&heartbeat=30&ver=2"


def test_an_acknowledgement_is_a_list_of_ids() -> None:
    """As docs/protocol.md writes it."""
    assert write_ack(1399647493834619) == '{"ack":[1399647493834619]}'


@pytest.mark.parametrize(
    "url", ["", "10.0.0.1:6968", "http://a", "ws://", "ws://a:b", "ws://a/?x=1"]
)
def test_only_websocket_urls_are_servers(url: str) -> None:
    """A wrong address is told at once, and with what was expected."""
    with pytest.raises(ValueError, match=r"expected ws://|[Pp]ort"):
        checked_server(url)
