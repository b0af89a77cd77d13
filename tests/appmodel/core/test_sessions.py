"""Which keys are sessions, and whose."""

import pytest

from appmodel.core.names import Key, parse_key
from appmodel.core.sessions import MAX_TYPE, MAX_USER, session_key, session_of


@pytest.mark.parametrize(
    ("text", "user", "kind", "device"),
    [
        ("u1_Android-d1@user", "u1", "Android", "d1"),
        ("u1_Mozilla-5.0-8341@user", "u1", "Mozilla", "5.0-8341"),
        ("u1_tv@user", "u1", "tv", ""),
        ("u1_@user", "u1", "", ""),
        ("u1_x_y-z@user", "u1", "x", "z"),
    ],
)
def test_a_session_key_names_user_type_and_device(
    text: str, user: str, kind: str, device: str
) -> None:
    """Spec 7.1; and the id leads back to the key."""
    name = session_of(parse_key(text))

    assert name is not None
    assert (name.user, name.type, name.device) == (user, kind, device)
    assert name.id == text.removesuffix("@user")
    assert session_key(name.id) == parse_key(text)


@pytest.mark.parametrize(
    "text", ["u1@user", "_x@user", "a_b@app", "a_b", "g_7@qun", "x" * (MAX_USER + 1) + "_d@user"]
)
def test_other_keys_are_none(text: str) -> None:
    """Neither an inbox, nor another kind of name, nor a user that no table could hold."""
    assert session_of(parse_key(text)) is None


def test_a_session_of_another_realm_is_none_of_ours() -> None:
    """Only native clients are users of the application layer."""
    assert session_of(Key("io", "u1_d", "user")) is None


def test_a_type_fits_its_column() -> None:
    """Whatever a client calls itself."""
    name = session_of(Key("", "u_" + "t" * 200, "user"))

    assert name is not None
    assert name.type == "t" * MAX_TYPE
