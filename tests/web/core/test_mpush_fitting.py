"""Copies as large as notification services take them."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from appmodel.core.message import Stored
from appmodel.core.mpush import Body, write_body
from web.core.mpush_copies import make_copy
from web.core.mpush_fitting import fit, fit_quoted

ROOM = 2000
TEXT = st.text(max_size=3000) | st.text(alphabet='"\\é🚪\n', max_size=3000)


def message(name: str = "d", **said: Any) -> bytes:
    body = write_body(Body(said.pop("content", ""), **said))
    return make_copy(name, Stored(1_557_901_952_810_000, body, 4e9)).message


def test_what_fits_is_as_it_was() -> None:
    """To the byte."""
    whole = message(title="t", content="c", extra={"a": [1]}, tags=["x"], click="https://x/")

    assert fit(whole, ROOM) == whole
    assert fit_quoted(whole, ROOM) == whole.decode()


def test_what_is_cut_says_so_and_loses_what_is_not_read_first() -> None:
    """Extra goes; link and tags only if they leave nothing to read; who sent it and its mid stay."""
    some = json.loads(fit(message(content="c", extra={"a": "x" * 3000}, tags=["x"]), ROOM))
    most = json.loads(fit(message(content="y" * 3000, click="https://" + "x" * 1900), ROOM))

    assert some["message"] == {"text": "", "desp": "c", "extra": {}, "tags": ["x"], "cut": True}
    assert (most["mid"], most["target"]) == ("1557901952810", "d")
    assert "click" not in most["message"]
    assert len(most["message"]["desp"]) > 1500
    assert most["message"]["desp"].endswith("...")


@example('"' * 200, '"' * 3000, "\\" * 3000)
@example("d", "", '"' * 1500)
@given(st.sampled_from(["d", '"' * 200, "é" * 100]), TEXT, TEXT)
def test_it_always_fits(name: str, title: str, content: str) -> None:
    """Whatever the letters, quoted or not; and as much of it as may be is there."""
    whole = message(name, title=title, content=content, extra={"a": content}, tags=[title[:100]])

    cut, quoted = fit(whole, ROOM), fit_quoted(whole, ROOM)

    assert len(cut) <= ROOM
    assert len(json.dumps(quoted, ensure_ascii=False).encode()) <= ROOM
    for one in (json.loads(cut), json.loads(quoted)):
        assert one["mid"] == "1557901952810"
        assert one["message"].get("cut", False) == (one != json.loads(whole))
