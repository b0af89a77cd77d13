"""Names and keys keep their text and never meet across realms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.names import MAX_KEY, Key, parse_key
from appmodel.errors import BadInput

printable = st.text(min_size=1, max_size=60).filter(str.isprintable)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("u1@user", Key("", "u1", "user")),
        ("g7@qun", Key("", "g7", "qun")),
        ("u1_Android-d1@user", Key("", "u1_Android-d1", "user")),
        ("a@b@user", Key("", "a@b", "user")),
        ("Terry-Mao", Key("", "Terry-Mao", "")),
        ("x@gmail.com", Key("", "x@gmail.com", "")),
        ("@user", Key("", "@user", "")),
        ("中文", Key("", "中文", "")),
    ],
)
def test_text_becomes_a_key(text: str, key: Key) -> None:
    """Only the five suffixes are suffixes; any other text is opaque, as gopush clients expect."""
    assert parse_key(text) == key


@given(printable)
def test_a_key_shows_its_text_again(text: str) -> None:
    """A native client gets back the very text that it chose."""
    assert str(parse_key(text)) == text


@given(printable, st.sampled_from(["", "ns1", "mpush"]))
def test_stored_text_names_one_key(text: str, realm: str) -> None:
    """What a store keeps leads back to the key, realm included."""
    key = parse_key(text, realm)

    assert Key.from_stored(key.stored) == key


@given(printable, printable)
def test_realms_never_meet(one: str, other: str) -> None:
    """No choice of name in one realm reaches a key of another."""
    assert parse_key(one, "a").stored != parse_key(other, "b").stored
    assert parse_key(one).stored != parse_key(other, "b").stored


@pytest.mark.parametrize(
    "text", ["", "a\nb", "a\x00", "a\x1fb", "\ud800", "x" * (MAX_KEY + 1), "é" * 128]
)
def test_bad_keys_are_refused(text: str) -> None:
    """Empty, unprintable and overlong keys are refused with the field's name."""
    with pytest.raises(BadInput, match=r"^key: "):
        parse_key(text)


def test_devices_of_a_user_share_an_owner() -> None:
    """A session is routed by its user's inbox, an opaque key by itself."""
    assert parse_key("u1_Android-d1@user").routed == parse_key("u1@user").routed
    assert parse_key("u1_x@qun").routed == "u1_x@qun"
    assert parse_key("_x@user").routed == "_x@user"


@pytest.mark.parametrize(
    ("key", "user"),
    [
        (Key("", "u1", "user"), "u1"),
        (Key("", "u1_Android-d1", "user"), "u1"),
        (Key("", "_x", "user"), None),
        (Key("", "u1", "app"), None),
        (Key("", "u1", ""), None),
        (Key("t7", "u1", "user"), None),
    ],
)
def test_whose_key_it_is(key: Key, user: str | None) -> None:
    """An inbox and the sessions are their user's; users live in the default realm."""
    assert key.user == user
