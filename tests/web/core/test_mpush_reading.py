"""Where a reader begins, and what it is shown."""

import pytest

from appmodel.core.mpush import Body, Sender, write_body
from appmodel.errors import BadInput
from web.core.mpush_reading import Edge, Since, json_line, read_since, show, sse_event

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("1557901952810", 1557901952810000),  # behind this very message
        ("1557901952", 1557901952000000 - 1),  # from that second on
        ("0", 0),
        ("10m", 1_699_999_400_000_000),
        ("400000d", 0),
        ("all", 0),
        ("latest", Edge.LATEST),
    ],
)
def test_since_may_be_a_mid_an_instant_or_a_duration(text: str, since: Since) -> None:
    """They are told apart by their look alone."""
    assert read_since(text, polls=False, now=NOW) == since


def test_who_says_nothing_gets_all_or_what_comes() -> None:
    """A poll gets all that is kept, a stream begins now."""
    assert read_since("", polls=True, now=NOW) == 0
    assert read_since("", polls=False, now=NOW) is Edge.END


@pytest.mark.parametrize("text", ["soon", "-1", "155790195281", "9" * 40, "1e400d", "10y"])
def test_anything_else_is_refused(text: str) -> None:
    """With what it may be."""
    with pytest.raises(BadInput, match=r"^since: got"):
        read_since(text, polls=False, now=NOW)


def test_a_message_is_one_line_whatever_it_says() -> None:
    """JSON has no line feed, so neither form can be broken by a text."""
    body = Body("a\nb\r\n\ndata: x", "t", priority=5, tags=["x"], sender=Sender("http", "me"))
    shown = show(1557901952810000, write_body(body))

    assert json_line(shown) == (
        b'{"mid":"1557901952810","time":1557901952,"title":"t","content":"a\\nb\\r\\n\\ndata: x",'
        b'"priority":5,"tags":["x"],"from":{"method":"http","name":"me"}}\n'
    )
    assert sse_event(shown) == b"id: 1557901952810\ndata: %b\n\n" % shown.text


def test_what_others_push_is_shown_as_content() -> None:
    """/v2/push takes any JSON."""
    assert show(1000, b'{"a":1}').text == b'{"mid":"1","time":0,"content":"{\\"a\\":1}"}'
    assert show(1000, b'"hi"').text == b'{"mid":"1","time":0,"content":"hi"}'
