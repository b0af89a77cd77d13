"""What is sealed is told to nobody who lacks the secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.sealing import Sealing

OURS, OTHERS, NONE = Sealing(b"s" * 32), Sealing(b"o" * 32), Sealing(b"")
PLACE = "nsp:/demo:auth_passwd"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXTS)
def test_what_was_sealed_is_opened(text: str) -> None:
    """Whatever the text; and each time it looks different."""
    sealed = OURS.seal(text, PLACE)

    assert OURS.open(sealed, PLACE) == text
    assert OURS.seal(text, PLACE) != sealed


def test_nobody_else_opens_it() -> None:
    """Not with another secret, none, at another place, or after a change of a single character."""
    sealed = OURS.seal("a password", PLACE)
    changed = sealed[:20] + ("A" if sealed[20] != "A" else "B") + sealed[21:]

    assert "password" not in sealed
    assert OTHERS.open(sealed, PLACE) is None
    assert NONE.open(sealed, PLACE) is None
    assert OURS.open(sealed, "nsp:/other:auth_passwd") is None
    assert OURS.open(changed, PLACE) is None


@pytest.mark.parametrize("garbage", ["", "1.", "1.x", "1.ä", "2.abc", "abc", "1." + "A" * 11])
def test_garbage_is_not_opened(garbage: str) -> None:
    """It is nothing, and no error."""
    assert OURS.open(garbage, PLACE) is None


def test_without_a_secret_texts_lie_open_and_stay_readable() -> None:
    """On loopback; also once there is a secret, so that it can be set later."""
    sealed, digest = NONE.seal("a text", PLACE), NONE.digest("pw", PLACE)

    assert OURS.open(sealed, PLACE) == "a text"
    assert OURS.matches("pw", digest, PLACE)
    assert not OURS.matches("wrong", digest, PLACE)


@given(TEXTS, TEXTS)
def test_only_the_password_matches(password: str, other: str) -> None:
    """Whatever characters they have."""
    digest = OURS.digest(password, PLACE)

    assert OURS.matches(password, digest, PLACE)
    assert OURS.matches(other, digest, PLACE) == (other == password)


def test_a_digest_is_of_one_place_and_one_secret() -> None:
    """Two tenants with the same password have different digests; no digest, no password."""
    digest = OURS.digest("pw", PLACE)

    assert OURS.digest("pw", "nsp:/other:auth_passwd") != digest
    assert not OTHERS.matches("pw", digest, PLACE)
    assert not NONE.matches("pw", digest, PLACE)
    assert not OURS.matches("", None, PLACE)
    assert not OURS.matches("", "", PLACE)
