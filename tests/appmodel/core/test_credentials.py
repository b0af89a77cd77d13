"""Tickets and access tokens."""

import base64
import json

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.credentials import MAX_CACHED, MAX_LENGTH, MAX_TTL, Credentials
from appmodel.core.names import Key, parse_key
from appmodel.errors import BadInput, ConfigError, Unauthorized

SECRET = b"0123456789abcdef0123456789abcdef"
NOW = 1_700_000_000.25
KEY = Key("", "u1", "user")


@pytest.fixture
def credentials() -> Credentials:
    return Credentials(SECRET)


def forged(claims: object, *, secret: bytes = SECRET, algorithm: str = "HS256") -> str:
    """What somebody else's JWT library makes."""
    return jwt.PyJWS().encode(json.dumps(claims).encode(), secret, algorithm)


@given(
    realm=st.sampled_from(["", "tenant-7"]),
    text=st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=40),
)
def test_a_ticket_gives_back_its_key(realm: str, text: str) -> None:
    """A ticket is bound to exactly one key, in its realm."""
    credentials = Credentials(SECRET)
    key = parse_key(text, realm)

    ticket = credentials.verify_ticket(credentials.issue_ticket(key, now=NOW, ttl=60), now=NOW)

    assert (ticket.key, ticket.issued_at, ticket.expires_at) == (key, NOW, NOW + 60)


def test_a_token_gives_back_its_caller(credentials: Credentials) -> None:
    """Subject, realm and scopes are what was signed."""
    text = credentials.issue_token({"push", "read"}, realm="t7", now=NOW, ttl=60, subject="shop")

    caller = credentials.verify_token(text, now=NOW)

    assert (caller.subject, caller.realm, caller.scopes) == (
        "shop",
        "t7",
        frozenset({"push", "read"}),
    )
    assert caller.may("push")
    assert not caller.may("ticket")


def test_admin_may_everything(credentials: Credentials) -> None:
    """The admin scope includes the others."""
    caller = credentials.verify_token(credentials.issue_token(["admin"], now=NOW, ttl=1), now=NOW)

    assert all(caller.may(scope) for scope in ("push", "read", "ticket", "admin"))


def test_two_credentials_never_share_an_id(credentials: Credentials) -> None:
    """Revoking one by its id must not void another."""
    texts = [credentials.issue_ticket(KEY, now=NOW, ttl=60) for _ in range(100)]

    assert len({credentials.verify_ticket(text, now=NOW).id for text in texts}) == 100


@pytest.mark.parametrize("late", [0.0, 0.001, 1e9])
def test_expired_is_refused_at_the_instant(credentials: Credentials, late: float) -> None:
    """No leeway: at `exp` it is over, also for a token that was verified before."""
    ticket = credentials.issue_ticket(KEY, now=NOW, ttl=60)
    token = credentials.issue_token(["push"], now=NOW, ttl=60)
    credentials.verify_ticket(ticket, now=NOW + 59.999)
    credentials.verify_token(token, now=NOW + 59.999)

    with pytest.raises(Unauthorized, match="expired"):
        credentials.verify_ticket(ticket, now=NOW + 60 + late)
    with pytest.raises(Unauthorized, match="expired"):
        credentials.verify_token(token, now=NOW + 60 + late)


def test_a_ticket_is_not_a_token_and_the_reverse(credentials: Credentials) -> None:
    """The audience tells them apart, so a phone's ticket can never push."""
    ticket = credentials.issue_ticket(KEY, now=NOW, ttl=60)
    token = credentials.issue_token(["admin"], now=NOW, ttl=60)

    with pytest.raises(Unauthorized, match="this is a ticket"):
        credentials.verify_token(ticket, now=NOW)
    with pytest.raises(Unauthorized, match="this is an access token"):
        credentials.verify_ticket(token, now=NOW)


def test_another_secret_is_another_cluster(credentials: Credentials) -> None:
    """What was signed elsewhere opens nothing here."""
    other = Credentials(b"x" * 32)

    with pytest.raises(Unauthorized, match="not signed by this cluster"):
        credentials.verify_ticket(other.issue_ticket(KEY, now=NOW, ttl=60), now=NOW)
    with pytest.raises(Unauthorized, match="not signed by this cluster"):
        credentials.verify_token(other.issue_token(["push"], now=NOW, ttl=60), now=NOW)


def _unsigned(claims: dict[str, object]) -> str:
    parts = (json.dumps({"alg": "none", "typ": "JWT"}), json.dumps(claims))
    return ".".join(base64.urlsafe_b64encode(p.encode()).rstrip(b"=").decode() for p in parts) + "."


GOOD = {"aud": "appmsg/ticket", "sub": "u1@user", "jti": "i", "iat": NOW, "exp": NOW + 60}


@pytest.mark.parametrize(
    "text",
    [
        _unsigned(GOOD),
        forged(GOOD, algorithm="HS512", secret=SECRET * 2),
        forged({**GOOD, "exp": None}),
        forged({k: v for k, v in GOOD.items() if k != "exp"}),
        forged({k: v for k, v in GOOD.items() if k != "aud"}),
        forged({**GOOD, "aud": "somebody/else"}),
        forged({**GOOD, "exp": "never"}),
        forged({**GOOD, "exp": NOW + 1e12}),
        forged({**GOOD, "iat": NOW + 301, "exp": NOW + 400}),
        forged({**GOOD, "iat": -1e300}),
        forged({**GOOD, "sub": ""}),
        forged({**GOOD, "sub": "a\nb"}),
        forged({**GOOD, "sub": 7}),
        forged([1, 2, 3]),
        "",
        "..",
        "a.b.c",
        "é.é.é",
        "\ud800",
        "a" * (MAX_LENGTH + 1),
    ],
)
def test_what_is_not_exactly_ours_is_refused(credentials: Credentials, text: str) -> None:
    """Other algorithms, missing claims, other types, other audiences, rubbish: Unauthorized, nothing else."""
    with pytest.raises(Unauthorized):
        credentials.verify_ticket(text, now=NOW)
    with pytest.raises(Unauthorized):
        credentials.verify_token(text, now=NOW)


def test_any_jwt_library_can_make_a_ticket(credentials: Credentials) -> None:
    """A business system that holds the secret needs nothing of ours."""
    ticket = credentials.verify_ticket(forged(GOOD), now=NOW)

    assert ticket.key == KEY


@given(st.text(max_size=200))
def test_any_text_is_verified_or_unauthorized(text: str) -> None:
    """No text raises anything else, and no refusal repeats the credential."""
    credentials = Credentials(SECRET)

    with pytest.raises(Unauthorized) as refused:
        credentials.verify_token(f"{text}.{text}.{text}", now=NOW)

    assert len(text) < 4 or text not in str(refused.value)


@given(st.data())
def test_no_changed_byte_passes(data: st.DataObject) -> None:
    """A credential is good as a whole or not at all."""
    credentials = Credentials(SECRET)
    text = credentials.issue_token(["push"], now=NOW, ttl=60)
    at = data.draw(st.integers(0, len(text) - 2))  # the last character has unused bits
    other = data.draw(st.sampled_from("ABCxyz019-_.").filter(lambda c: c != text[at]))

    with pytest.raises(Unauthorized):
        credentials.verify_token(text[:at] + other + text[at + 1 :], now=NOW)


def test_the_cache_is_bounded(credentials: Credentials) -> None:
    """However many tokens are shown, as many are remembered as configured."""
    for i in range(MAX_CACHED + 10):
        credentials.verify_token(
            credentials.issue_token(["push"], now=NOW, ttl=60, subject=str(i)), now=NOW
        )

    assert len(credentials._verified) == MAX_CACHED


@pytest.mark.parametrize("ttl", [0, -1, MAX_TTL + 1, float("nan"), float("inf")])
def test_a_ttl_must_make_sense(credentials: Credentials, ttl: float) -> None:
    """Nothing is issued that is expired already or never expires."""
    with pytest.raises(BadInput, match="ttl"):
        credentials.issue_ticket(KEY, now=NOW, ttl=ttl)
    with pytest.raises(BadInput, match="ttl"):
        credentials.issue_token(["push"], now=NOW, ttl=ttl)


@pytest.mark.parametrize("scopes", [[], ["root"], ["push", "root"]])
def test_unknown_scopes_are_refused(credentials: Credentials, scopes: list[str]) -> None:
    """A scope that does not exist would grant nothing, or something later."""
    with pytest.raises(BadInput, match="scope"):
        credentials.issue_token(scopes, now=NOW, ttl=60)


PEM = b"-----BEGIN PUBLIC KEY-----\n" + b"A" * 64 + b"\n-----END PUBLIC KEY-----\n"


@pytest.mark.parametrize("secret", [b"", b"short", PEM])
def test_a_bad_secret_stops_the_start(secret: bytes) -> None:
    """A secret that can be guessed, or is public, never signs; the error does not show it."""
    with pytest.raises(ConfigError, match=r"auth\.secret") as refused:
        Credentials(secret)

    assert not secret or secret.decode() not in str(refused.value)
