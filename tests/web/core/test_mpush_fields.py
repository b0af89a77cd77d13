"""A query, a form, a JSON object or a text, whatever its bytes."""

from contextlib import suppress
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.errors import BadInput
from web.core.mpush_drafts import KNOWN
from web.core.mpush_fields import FORM, MAX_FIELDS, Unreadable, read_body, read_query


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", {}),
        ("title=a&content=b", {"title": "a", "content": "b"}),
        ("content=a%26b%3Dc%2Bd", {"content": "a&b=c+d"}),
        ("content=a+b", {"content": "a b"}),
        ("content=50%2541", {"content": "50%41"}),  # the seed made "50A" of it
        ("title=100%", {"title": "100%"}),  # and ended at this one
        ("title=%zz%E4%BD%A0", {"title": "%zz你"}),
        ("title=%ff", {"title": "\ufffd"}),
        ("title=a&title=b&title=c", {"title": ["a", "b", "c"]}),
        ("title", {"title": ""}),
        ("&&title=a=b&", {"title": "a=b"}),
    ],
)
def test_a_query_is_decoded_once(text: str, fields: object) -> None:
    """Each sequence is what it says, and what is none is left as it is."""
    assert read_query(text) == fields


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=50), max_size=8))
def test_what_a_client_encodes_is_what_comes(fields: dict[str, str]) -> None:
    """Whatever the texts, spaces as + or as %20."""
    expected = {name: value for name, value in fields.items() if name or value}

    assert read_query(urlencode(expected)) == expected
    assert read_query(urlencode(expected, quote_via=quote)) == expected


@given(st.binary(max_size=200), st.sampled_from(["", FORM, "application/json", "text/plain"]))
def test_no_body_is_more_than_refused(body: bytes, kind: str) -> None:
    """Any bytes under any type are fields, or refused."""
    with suppress(BadInput):
        assert isinstance(read_body(body, kind, KNOWN), dict)


@pytest.mark.parametrize("kind", ["", FORM, "text/plain;charset=UTF-8", "text/markdown"])
def test_a_text_is_the_message(kind: str) -> None:
    """`curl -d "backup done"` says that it is a form, and is none."""
    assert read_body(b"backup done & gone", kind, KNOWN) == {"content": "backup done & gone"}


@pytest.mark.parametrize("kind", ["", FORM, "text/plain;charset=UTF-8"])
def test_a_form_is_one_whatever_it_is_called(kind: str) -> None:
    """The seed does not look at the type; fetch of a browser says text/plain."""
    assert read_body(b"title=a&content=b%26c", kind, KNOWN) == {"title": "a", "content": "b&c"}


def test_a_text_with_an_equals_sign_is_a_text_unless_it_says_form() -> None:
    """A form with a field that nobody knows is one only if it says so: then the field can be named.

    curl says so of every text, so what has white space in it and no field of ours is a text even then.
    """
    for text in ("load=5", "load=5 is high", "a=b\nc=d\n"):
        assert read_body(text.encode(), "text/plain", KNOWN) == {"content": text}
    for text in ("load=5 is high", "a=b\nc=d\n"):
        assert read_body(text.encode(), FORM, KNOWN) == {"content": text}
    assert read_body(b"load=5", FORM, KNOWN) == {"load": "5"}
    assert read_body(b"load=5 is high&title=t", FORM, KNOWN) == {"load": "5 is high", "title": "t"}


@pytest.mark.parametrize("kind", ["", FORM, "application/json", "application/problem+json"])
def test_a_json_object_is_fields(kind: str) -> None:
    """`curl -d '{...}'` says form."""
    assert read_body(b' {"title":"a","tags":["x"]}', kind, KNOWN) == {"title": "a", "tags": ["x"]}


@pytest.mark.parametrize(
    "body", [b"[1]", b"null", b"{", b"\xff", b'{"a":"\\ud800"}', b"[" * 10_000]
)
def test_promised_json_is_an_object(body: bytes) -> None:
    """The seed's successor ended at `null`."""
    with pytest.raises(BadInput, match=r"^body: .*JSON object"):
        read_body(body, "application/json", KNOWN)


@pytest.mark.parametrize("body", [b'{"token":"s3cret"', b'["token=s3cret"]', b"TOKEN=s3cret\xff"])
def test_no_error_shows_a_token(body: bytes) -> None:
    """Errors end up in the logs of callers and proxies."""
    with pytest.raises(BadInput) as refused:
        read_body(body, "application/json", KNOWN)

    assert "s3cret" not in str(refused.value)


def test_a_brace_alone_is_a_text() -> None:
    """Only what is JSON is taken for it."""
    assert read_body(b"{oops", FORM, KNOWN) == {"content": "{oops"}


def test_what_nobody_reads_is_refused_by_its_type() -> None:
    """curl -F sends parts."""
    with pytest.raises(Unreadable, match=r"^Content-Type: got 'multipart/form-data; boundary=x'"):
        read_body(b"--x", "multipart/form-data; boundary=x", KNOWN)


def test_fields_are_bounded() -> None:
    """A small query must not become a large dictionary."""
    many = "&".join(f"{quote_plus(str(n))}=x" for n in range(MAX_FIELDS))
    assert len(read_query(many)) == MAX_FIELDS

    with pytest.raises(BadInput, match=r"^query: got 'more than 100 fields', expected at most 100"):
        read_query(many + "&one=more")
