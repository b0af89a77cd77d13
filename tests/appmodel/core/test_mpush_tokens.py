"""Tokens of Mpush: what they allow, for whom, and until when."""

import base64
import fnmatch
import json
import re
from collections.abc import Callable, Iterator
from itertools import product

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.credentials import MAX_TTL, Credentials
from appmodel.core.message import Revocation
from appmodel.core.mpush import device_key
from appmodel.core.mpush_tokens import (
    AUDIENCE,
    EVERYTHING,
    MAX_NAMES,
    OWN,
    Grant,
    MpushGate,
    Right,
    as_group,
    issue,
    matches,
    verify,
)
from appmodel.core.revocations import Revocations, token_subject
from appmodel.errors import BadInput, Forbidden, Unauthorized

SECRET = b"0123456789abcdef" * 4
NOW = 1_700_000_000.25
ALL = "the word of all devices"


@pytest.fixture
def credentials() -> Credentials:
    return Credentials(SECRET)


@pytest.fixture
def known() -> Revocations:
    return Revocations()


@pytest.fixture
def gate(credentials: Credentials, known: Revocations) -> MpushGate:
    return MpushGate(ALL, credentials, known, now=lambda: NOW)


@pytest.fixture
def token(credentials: Credentials) -> Callable[..., str]:
    """Makes one that is good for a minute."""

    def make(*names: str, rights: frozenset[Right] = OWN) -> str:
        return issue(credentials, rights, names, now=NOW, ttl=60)[0]

    return make


def forged(secret: bytes = SECRET, algorithm: str = "HS256", **changed: object) -> str:
    """What somebody else's JWT library makes."""
    claims = {
        "aud": AUDIENCE,
        "may": "publish",
        "names": ["a"],
        "jti": "x",
        "iat": NOW,
        "exp": NOW + 9,
    }
    return jwt.PyJWS().encode(json.dumps(claims | changed).encode(), secret, algorithm)


def test_the_token_of_all_allows_everything(gate: MpushGate) -> None:
    """As in the original; it ends no connection, for nobody can revoke it."""
    for right in Right:
        assert gate.check(ALL, right, ["any name", as_group("any group")]) is EVERYTHING
    assert EVERYTHING.ticket(device_key("a")) is None


@pytest.mark.parametrize("wrong", ["", ALL[:-1], ALL + " ", ALL.upper(), "\ud800", "x.y.z"])
def test_what_is_no_token_opens_nothing(gate: MpushGate, wrong: str) -> None:
    """And what was said is in no error, which names the field that it came in."""
    with pytest.raises(Unauthorized, match=r"^token: ") as refused:
        gate.grant(wrong)

    assert not wrong or wrong not in str(refused.value)


def test_an_empty_token_of_all_is_none(credentials: Credentials, known: Revocations) -> None:
    """Who wants issued tokens only, has them only."""
    gate = MpushGate("", credentials, known, now=lambda: NOW)

    with pytest.raises(Unauthorized):
        gate.grant("")


def test_without_a_secret_only_the_token_of_all_counts(
    known: Revocations, token: Callable[..., str]
) -> None:
    """Nobody could have signed another one."""
    gate = MpushGate(ALL, None, known, now=lambda: NOW)

    assert gate.grant(ALL) is EVERYTHING
    with pytest.raises(Unauthorized):
        gate.grant(token("a"))


@pytest.mark.parametrize("right", Right)
def test_a_token_allows_what_it_says_and_no_more(
    gate: MpushGate, token: Callable[..., str], right: Right
) -> None:
    """Publish-only, read-only, connect-only; for its device only."""
    text = token("phone", rights=frozenset({right}))

    assert gate.check(text, right, ["phone"]).rights == {right}
    for other in set(Right) - {right}:
        with pytest.raises(Forbidden, match=f"to {other} 'phone'"):
            gate.check(text, other, ["phone"])
    for name in ("phone2", "Phone", "phon", as_group("phone"), "*"):
        with pytest.raises(Forbidden):
            gate.check(text, right, ["phone", name])


def test_a_token_that_does_not_say_is_for_the_device_itself(
    credentials: Credentials, gate: MpushGate
) -> None:
    """It logs in and reads; others it pushes to nobody."""
    text, grant = issue(credentials, (), ["phone"], now=NOW, ttl=60)

    assert gate.grant(text) == grant
    assert grant.rights == {Right.CONNECT, Right.READ}


def test_a_group_is_named_as_one(gate: MpushGate, token: Callable[..., str]) -> None:
    """A device's name is no right on the group that is called so."""
    text = token(as_group("family"))

    assert gate.grant(text).covers(Right.CONNECT, as_group("family"))
    assert not gate.grant(text).covers(Right.CONNECT, "family")


def test_no_name_asks_whether_it_is_worth_to_ask(
    gate: MpushGate, token: Callable[..., str]
) -> None:
    """Who may log in as nobody is told so before he says a name."""
    assert gate.grant(token("a")).covers(Right.CONNECT, None)
    assert not gate.grant(token("a")).covers(Right.PUBLISH, None)


def test_a_connection_ends_with_its_token(
    gate: MpushGate, known: Revocations, token: Callable[..., str]
) -> None:
    """What a comet keeps of it is a ticket like any other's: expired and revoked like those."""
    text = token("phone")
    ticket = gate.grant(text).ticket(device_key("phone"))
    assert ticket is not None
    assert (ticket.key, ticket.expires_at) == (device_key("phone"), NOW + 60)
    assert not known.voids(ticket)

    known.add(Revocation(1, token_subject(ticket.id), NOW + 1, NOW + MAX_TTL))

    assert known.voids(ticket)
    with pytest.raises(Unauthorized, match="revoked"):
        gate.grant(text)


def test_a_token_is_good_until_its_time(
    credentials: Credentials, known: Revocations, token: Callable[..., str]
) -> None:
    """Not a moment longer."""
    text, now = token("a"), NOW
    gate = MpushGate(ALL, credentials, known, now=lambda: now)
    now = NOW + 59.9
    gate.grant(text)

    now = NOW + 60

    with pytest.raises(Unauthorized, match="expired"):
        gate.grant(text)


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "appmsg/access"},
        {"aud": "appmsg/ticket", "sub": "a"},
        {"names": "a"},
        {"names": [1]},
        {"may": None},
        {"exp": NOW + MAX_TTL + 60},
        {"iat": NOW + 3600, "exp": NOW + 3700},
        {"secret": b"another secret, of somebody else" * 2},
        {"algorithm": "HS512"},
    ],
)
def test_what_is_not_ours_is_no_token(gate: MpushGate, changed: dict[str, object]) -> None:
    """Another audience, other claims, times that nobody could revoke, another secret or algorithm."""
    gate.grant(forged())

    with pytest.raises(Unauthorized):
        gate.grant(forged(**changed))  # type: ignore[arg-type]  # of each parameter its own type


def test_no_token_is_taken_for_another_kind(
    credentials: Credentials, gate: MpushGate, token: Callable[..., str]
) -> None:
    """Nor is an access token or a ticket one of Mpush."""
    with pytest.raises(Unauthorized):
        credentials.verify(token("*"), now=NOW)
    for other in (
        credentials.issue_token({"admin"}, now=NOW, ttl=60),
        credentials.issue_ticket(device_key("a"), now=NOW, ttl=60),
    ):
        with pytest.raises(Unauthorized):
            gate.grant(other)


def test_an_unknown_right_is_none(gate: MpushGate) -> None:
    """A token of a later version does here what is known here."""
    assert gate.grant(forged(may="publish fly")).rights == {Right.PUBLISH}


def test_where_a_right_is_everybodys_no_token_is_looked_at(
    credentials: Credentials, known: Revocations
) -> None:
    """Open push: whatever a script still says. The other rights stay closed."""
    gate = MpushGate(ALL, credentials, known, now=lambda: NOW, open=[Right.PUBLISH])

    gate.check("", Right.PUBLISH, ["a"])
    gate.check("stale", Right.PUBLISH, ["a"])
    with pytest.raises(Unauthorized):
        gate.check("", Right.READ, ["a"])


@pytest.mark.parametrize(
    ("names", "ttl", "field"),
    [
        ([], 60, "device"),
        ([""], 60, "device"),
        (["a\n"], 60, "device"),
        (["a"] * (MAX_NAMES + 1), 60, "device"),
        (["n" * 200] * 30, 60, "device"),
        (["a"], 0, "ttl"),
        (["a"], MAX_TTL + 1, "ttl"),
    ],
)
def test_what_cannot_be_issued_is_named(
    credentials: Credentials, names: list[str], ttl: float, field: str
) -> None:
    """Nothing is signed that would not be let in."""
    with pytest.raises(BadInput, match=f"^{field}: "):
        issue(credentials, OWN, names, now=NOW, ttl=ttl)


def test_a_star_is_any_run_of_characters() -> None:
    """As fnmatch means it: all patterns of up to 5 letters, and all names."""

    def texts(letters: str) -> Iterator[str]:
        for size in range(6):
            yield from map("".join, product(letters, repeat=size))

    names = list(texts("ab"))
    for pattern in texts("ab*"):
        meant = re.compile(fnmatch.translate(pattern)).match
        assert [n for n in names if matches(pattern, n)] == [n for n in names if meant(n)], pattern


def test_all_but_the_star_is_meant_as_it_is() -> None:
    """A name with a bracket or a question mark is no pattern."""
    assert matches("[ab]?.*", "[ab]?.x")
    assert not matches("[ab]", "a")
    assert not matches("?", "a")
    assert not matches("a.b", "axb")


def test_a_pattern_costs_no_more_than_its_length() -> None:
    """What makes a regular expression of the same meaning try for ever, is looked at once."""
    assert not matches("*a" * 90 + "*b", "a" * 200)


@given(st.text(max_size=60), st.binary(max_size=60))
def test_no_text_gets_more_than_a_refusal(text: str, raw: bytes) -> None:
    """Whatever it is, and whatever a signature stands under."""
    gate = MpushGate(ALL, Credentials(SECRET), Revocations(), now=lambda: NOW)
    body = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    signed = jwt.PyJWS().encode(raw, SECRET, "HS256")

    for each in (text, f"e30.{body}.{body}", signed):
        with pytest.raises(Unauthorized):
            gate.grant(each)


def test_what_is_shown_of_a_grant_is_no_secret(credentials: Credentials) -> None:
    """It may be logged."""
    text, grant = issue(credentials, OWN, ["a"], now=NOW, ttl=60, subject="ann")

    assert text.rpartition(".")[2] not in repr(grant)
    assert re.fullmatch(r"[A-Za-z0-9_-]{16}", grant.id)
    assert verify(credentials, text, now=NOW) == grant
    assert isinstance(grant, Grant)
