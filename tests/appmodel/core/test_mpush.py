"""Names, mids and bodies of Mpush."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.clock import MAX_ID
from appmodel.core.mpush import (
    MAX_NAME,
    Body,
    Sender,
    check_name,
    device_key,
    id_of,
    mid_of,
    name_of,
    note_of,
    note_of_group,
    note_of_receivers,
    read_body,
    write_body,
)
from appmodel.core.names import MAX_KEY, Key, parse_key
from appmodel.errors import BadInput

NAMES = st.text(min_size=1).filter(
    lambda text: text.isprintable() and len(text.encode()) <= MAX_NAME
)


@given(NAMES)
def test_a_name_has_one_key_and_a_key_one_name(name: str) -> None:
    """Whatever is in it; the key is one that clients and callers may name, and stores bring back."""
    key = device_key(check_name(name))

    assert name_of(key) == name
    assert key.is_queue
    assert parse_key(str(key)) == key
    assert Key.from_stored(key.stored) == key
    assert len(key.stored.encode()) <= MAX_KEY


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", "not empty"),
        ("a\nb", "printable"),
        ("a\x1fb", "printable"),
        ("\ud800", "printable"),
        ("x" * 201, "at most 200 bytes"),
        ("é" * 101, "at most 200 bytes"),
    ],
)
def test_a_name_that_nobody_can_have_is_refused(name: str, expected: str) -> None:
    """The error names field, value and what was expected."""
    with pytest.raises(BadInput, match=f"device: got .*{expected}"):
        check_name(name, field="device")


@pytest.mark.parametrize(
    "key",
    [
        Key("", "u1", "user"),
        Key("", "test", ""),
        Key("", "testmpush", ""),
        Key("", "test@mpush ", ""),
        Key("r", "test@mpush", ""),
        Key("/n", "test@mpush", ""),
        Key("", "@mpush", ""),
    ],
)
def test_other_keys_are_no_devices(key: Key) -> None:
    """Only those of the default realm that end so."""
    assert name_of(key) is None


@given(st.integers(0, MAX_ID // 1000))
def test_a_mid_is_the_id_in_milliseconds(ms: int) -> None:
    """As a text, or as the number that many clients write."""
    assert id_of(mid_of(ms * 1000)) == ms * 1000
    assert id_of(ms) == ms * 1000


@given(
    st.none()
    | st.booleans()
    | st.floats()
    | st.lists(st.integers())
    | st.integers(max_value=-1)
    | st.integers(min_value=MAX_ID // 1000 + 1)
    | st.text().filter(lambda text: not (text.isascii() and text.isdecimal()))
    | st.integers(10**13).map(str)
    | st.just("٣")
)
def test_anything_else_is_no_mid(junk: object) -> None:
    """What clients send is never believed."""
    assert id_of(junk) is None


def test_a_body_holds_what_was_given_and_nothing_else() -> None:
    """`content` is always there."""
    full = Body(
        "c",
        ["a", "b"],
        5,
        ("t",),
        "https://x/",
        {"k": [1, None]},
        Sender("http", "n"),
        "group",
        "family",
    )

    assert write_body(Body("")) == b'{"content":""}'
    assert write_body(Body("c", "t")) == b'{"content":"c","title":"t"}'
    shown = msgspec.json.decode(write_body(full))
    assert list(shown) == [
        "content", "title", "priority", "tags", "click", "extra", "from", "sendType", "target",
    ]  # fmt: skip
    assert read_body(write_body(full)) == msgspec.structs.replace(full, tags=["t"])


@pytest.mark.parametrize(
    ("stored", "content"),
    [
        (b'"hi"', "hi"),
        (b"42", "42"),
        (b"null", "null"),
        (b'{"a": 1}', '{"a": 1}'),
        (b'{"content":"c","fromUserName":"g@qun"}', '{"content":"c","fromUserName":"g@qun"}'),
        (b'{"content":5}', '{"content":5}'),
        (b'{"title":"t"}', '{"title":"t"}'),
        (b"[" * 100_000, "[" * 100_000),
        (b"\xff", "\ufffd"),
        (b"", ""),
    ],
)
def test_what_others_pushed_is_shown_as_it_is(stored: bytes, content: str) -> None:
    """By /v2/push a device can get any JSON; nothing of it is lost, and nothing fails."""
    assert read_body(stored) == Body(content)


def test_notes_tell_kinds_apart_and_are_short() -> None:
    """A group may have the name of a device."""
    notes = {note(name) for note in (note_of, note_of_group, note_of_receivers) for name in "ab"}

    assert len(notes) == 6
    assert len(note_of("x" * MAX_NAME)) < 64


@pytest.mark.parametrize("depth", [200, 900, 5000])
def test_an_extra_that_no_client_can_read_is_refused(depth: int) -> None:
    """Before it is kept: it could never be shown."""
    extra: dict[str, object] = {}
    for _ in range(depth):
        extra = {"a": extra}

    with pytest.raises(BadInput, match=r"extra: .* at most 128 nested levels"):
        write_body(Body("c", extra=extra))
