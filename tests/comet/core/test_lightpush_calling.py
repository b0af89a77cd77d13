"""What a namespace's back end is asked and told."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comet.core.lightpush_calling import Reply, Verdict, Visit, farewell, question, verdict
from comet.core.rules import Refused

VISIT = Visit("/demo", {"EIO": "3", "uuid": "u1", "userid": "a&b"}, "sid=1; other=2")


def test_a_question_carries_query_cookie_authorization_and_namespace() -> None:
    """The authorization is what the namespace says, word for word."""
    call = question("https://back.example/in", "Token xyz", VISIT)

    assert call.method == "GET"
    assert call.url == "https://back.example/in?EIO=3&uuid=u1&userid=a%26b"
    assert dict(call.headers) == {
        "accept": "application/json",
        "namespace": "/demo",
        "cookie": "sid=1; other=2",
        "authorization": "Token xyz",
    }


def test_an_address_keeps_its_own_query() -> None:
    """The original made `?a=1?EIO=3` of it."""
    call = question("https://back.example/in?a=1", None, VISIT)

    assert call.url == "https://back.example/in?a=1&EIO=3&uuid=u1&userid=a%26b"


def test_what_there_is_not_is_no_header() -> None:
    """Not the text `null` either."""
    call = question("https://back.example/in", None, Visit("/demo", {}, ""))

    assert {"cookie", "authorization"}.isdisjoint(dict(call.headers))


def test_a_farewell_tells_the_same_query_to_the_address_as_it_is() -> None:
    """As JSON."""
    call = farewell("https://back.example/out?a=1", "Token xyz", VISIT)

    assert (call.method, call.url) == ("POST", "https://back.example/out?a=1")
    assert msgspec.json.decode(call.content) == {"query": VISIT.query}
    headers = dict(call.headers)
    assert headers["content-type"] == "application/json"
    assert (headers["namespace"], headers["authorization"]) == ("/demo", "Token xyz")


@pytest.mark.parametrize("status", [100, 201, 204, 301, 302, 400, 401, 403, 404, 500, 503])
def test_any_status_but_200_is_a_veto(status: int) -> None:
    """Redirects too: nobody follows them."""
    with pytest.raises(Refused) as refusal:
        verdict(Reply(status, b'{"userid":"bob"}'))

    assert refusal.value.message == f"handshake fail statusCode: {status}"
    assert refusal.value.closes


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", Verdict()),
        (b"ok", Verdict()),
        (b"\xff", Verdict()),
        (b"[" * 5000, Verdict()),
        (b"[1]", Verdict()),
        (b"{}", Verdict()),
        (b'{"userid":"bob"}', Verdict(userid="bob")),
        (b'{"userid":17}', Verdict(userid="17")),
        (b'{"userid":""}', Verdict()),
        (b'{"userid":null}', Verdict()),
        (b'{"userid":true}', Verdict()),
        (b'{"userid":0}', Verdict()),
        (b'{"rooms":["r1",2,null]}', Verdict(rooms=("r1", "2", ""))),
        (b'{"rooms":"r1"}', Verdict()),
        (b'{"userid":"bob","rooms":["r1"],"more":1}', Verdict("bob", ("r1",))),
    ],
)
def test_the_body_of_a_200_may_name_the_user_and_rooms(body: bytes, expected: Verdict) -> None:
    """A body that is something else lets the client in as it is."""
    assert verdict(Reply(200, body)) == expected


@given(st.binary(max_size=200))
def test_no_body_is_too_strange(body: bytes) -> None:
    """A back end cannot break a comet."""
    verdict(Reply(200, body))
