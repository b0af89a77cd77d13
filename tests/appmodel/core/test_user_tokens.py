"""User tokens: what their text proves by itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.user_tokens import AUDIENCE_TTL, TokenSigner, can_log_in, looks_like_token
from appmodel.errors import Unauthorized

SECRET = b"0123456789abcdef0123456789abcdef"
NOW = 1_700_000_000.25
UIDS = st.text(st.characters(exclude_characters="_@"), min_size=1, max_size=64).filter(
    str.isprintable
)


@pytest.fixture
def signer() -> TokenSigner:
    return TokenSigner(SECRET)


@given(UIDS)
def test_a_token_names_its_owner(uid: str) -> None:
    """The text before the first "_", on every node with the secret."""
    text = TokenSigner(SECRET).issue(uid, now=NOW)

    owner = TokenSigner(SECRET).verify(text, now=NOW + 59, max_age=60)

    assert text.startswith(f"{uid}_")
    assert looks_like_token(text)
    assert (owner.uid, owner.issued, owner.expires) == (uid, NOW, NOW + 60)


def test_no_two_tokens_are_the_same(signer: TokenSigner) -> None:
    """Two logins in the same instant are two."""
    one, other = (signer.issue("u1", now=NOW) for _ in range(2))

    assert one != other
    assert (
        signer.verify(one, now=NOW, max_age=1).digest
        != signer.verify(other, now=NOW, max_age=1).digest
    )


@given(st.data())
def test_no_character_can_be_changed(data: st.DataObject) -> None:
    """Whatever somebody changes of a token: it is none any more."""
    signer = TokenSigner(SECRET)
    text = signer.issue("u1", now=NOW)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from("0123456789abcdefABCDEF_@u2 "))
    changed = text[:at] + other + text[at + 1 :]

    if changed != text:
        with pytest.raises(Unauthorized):
            signer.verify(changed, now=NOW, max_age=60)


@pytest.mark.parametrize(
    "text", ["", "_", "u1", "u1_", "u1_abc", "_" + "0" * 82, "u1_" + "0" * 82, "u1_" + "0" * 83]
)
def test_garbage_is_no_token(signer: TokenSigner, text: str) -> None:
    """An id and an underscore do not make one (W4)."""
    with pytest.raises(Unauthorized):
        signer.verify(text, now=NOW, max_age=60)


def test_a_token_of_another_secret(signer: TokenSigner) -> None:
    """It is garbage here."""
    with pytest.raises(Unauthorized):
        signer.verify(TokenSigner(SECRET[::-1]).issue("u1", now=NOW), now=NOW, max_age=60)


def test_age(signer: TokenSigner) -> None:
    """Good before `max_age`; and a token from the future is not ours."""
    text = signer.issue("u1", now=NOW)

    for now in (NOW + 60, NOW - 301):
        with pytest.raises(Unauthorized, match="expired"):
            signer.verify(text, now=now, max_age=60)
    assert signer.verify(text, now=NOW - 299, max_age=60).uid == "u1"


def test_a_token_for_an_application_is_for_it_alone(signer: TokenSigner) -> None:
    """Another application learns nothing from it, after five minutes nobody does, and it is no user token (W16)."""
    text = signer.issue_for("u1", "a1", now=NOW)

    assert signer.verify_for(text, "a1", now=NOW + AUDIENCE_TTL - 1).uid == "u1"
    for app_id, now in (("a2", NOW), ("", NOW), ("a1", NOW + AUDIENCE_TTL)):
        with pytest.raises(Unauthorized):
            signer.verify_for(text, app_id, now=now)
    with pytest.raises(Unauthorized):
        signer.verify(text, now=NOW, max_age=60)
    with pytest.raises(Unauthorized):
        signer.verify_for(signer.issue("u1", now=NOW), "", now=NOW)


def test_the_mac_keeps_uid_and_application_apart(signer: TokenSigner) -> None:
    """No uid and application that read the same one after the other share a token."""
    text = signer.issue_for("u1", "1a", now=NOW)
    moved = "u11_" + text.partition("_")[2]

    with pytest.raises(Unauthorized):
        signer.verify_for(moved, "a", now=NOW)


@pytest.mark.parametrize(
    ("uid", "can"),
    [
        ("u1", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("", False),
        ("a_b", False),
        ("a@b", False),
    ],
)
def test_who_can_log_in(uid: str, can: bool) -> None:
    """Ids that a token can name."""
    assert can_log_in(uid) is can


@pytest.mark.parametrize("text", ["eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2ln", "a" * 64, "u1_x"])
def test_other_credentials_do_not_look_like_tokens(text: str) -> None:
    """An access token, a token of an application, an id."""
    assert not looks_like_token(text)
