"""What a message may say of a file, and what is handed out as what."""

from typing import Any

import pytest

from appmodel.errors import BadInput, Unauthorized
from web.core.file_rules import (
    FileSigner,
    fid_of,
    is_gone,
    media_type_of,
    served_headers,
    upload_of,
)

GOOD = {"fid": "3,0163", "fileName": "a.png", "fileUrl": "weed:8080/3,0163", "size": 9}
FID = "4f" * 16


def test_a_good_upload() -> None:
    """More members than ours do no harm; JSON of JavaScript may write 9 as 9.0."""
    upload = upload_of({"responseUpload": GOOD | {"size": 9.0, "eTag": "x"}, "width": 3})

    assert (upload.fid, upload.file_name, upload.file_url, upload.size) == tuple(GOOD.values())


@pytest.mark.parametrize("field", sorted(GOOD))
@pytest.mark.parametrize("value", [None, [], "\0", "x" * 300, "a\nb", -1, 2**31, 1.5, True])
def test_a_bad_field_is_named(field: str, value: Any) -> None:
    """With its place in the message; what PostgreSQL refuses never gets there."""
    with pytest.raises(BadInput) as caught:
        upload_of({"responseUpload": GOOD | {field: value}})

    assert caught.value.field == f"msg.objectContent.responseUpload.{field}"


@pytest.mark.parametrize("field", sorted(GOOD))
def test_a_missing_field_is_named(field: str) -> None:
    """All four are required."""
    with pytest.raises(BadInput, match=f"responseUpload.{field}"):
        upload_of({"responseUpload": {k: v for k, v in GOOD.items() if k != field}})


@pytest.mark.parametrize("described", [{}, {"responseUpload": None}, {"responseUpload": []}])
def test_no_upload_at_all(described: dict[str, Any]) -> None:
    """Is named as the whole."""
    with pytest.raises(BadInput, match=r"msg\.objectContent\.responseUpload"):
        upload_of(described)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("image/png", "image/png"),
        ("IMAGE/PNG; charset=x", "image/png"),
        ("image/svg+xml", "application/octet-stream"),
        ("text/html", "application/octet-stream"),
        ("application/pdf", "application/octet-stream"),
        ("image/png\r\nX: y", "application/octet-stream"),
        ("", "application/octet-stream"),
    ],
)
def test_types(said: str, kept: str) -> None:
    """Only what no browser runs keeps its type."""
    assert media_type_of(said) == kept


@pytest.mark.parametrize("name", ['a"b', "a\r\nX: y", "é\U0001f642", "a;b=c", "", "\\"])
def test_a_name_cannot_leave_its_header(name: str) -> None:
    """It is quoted in ASCII, whatever an adopted row may hold."""
    disposition = served_headers(name, "image/png")["Content-Disposition"]

    assert disposition.isascii()
    assert disposition.isprintable()
    assert disposition.count('"') == 2


@pytest.mark.parametrize("text", ["", "..", "../" + FID, FID + "\n", FID.upper(), "4f/02", FID[1:]])
def test_an_id_of_ours_has_one_form(text: str) -> None:
    """So it is never a path."""
    with pytest.raises(BadInput, match="fid"):
        fid_of(text)


def test_a_signature_is_for_one_file_until_one_moment() -> None:
    """By who has the key."""
    signer, other = FileSigner(b"k" * 32), FileSigner(b"o" * 32)
    expires, sign = (part.partition("=")[2] for part in signer.query(FID, 1000).split("&"))

    signer.check(FID, expires, sign, now=999.9)

    for check, fid, until, now in [
        (signer, FID, expires, 1000.0),
        (signer, FID[::-1], expires, 1.0),
        (signer, FID, "1001", 1.0),
        (signer, FID, "01000", 1.0),
        (signer, FID, "\u0661000", 1.0),
        (other, FID, expires, 1.0),
    ]:
        with pytest.raises(Unauthorized):
            check.check(fid, until, sign, now=now)


@pytest.mark.parametrize("body", [b"[" * 100_000, b"\xff", b"null", b"[]", b"1"])
def test_any_answer_to_a_delete_is_judged(body: bytes) -> None:
    """By its status, if it is no JSON object."""
    assert is_gone(200, body)
    assert not is_gone(500, body)
