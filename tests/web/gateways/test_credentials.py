"""Credentials as tenants store them."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from appmodel.core.base64url import encode_base64url
from appmodel.errors import BadInput
from tests.web.gateways.apple import KEY_ID, TEAM_ID, TOPIC, Apple
from tests.web.gateways.authority import Authority, pem, rsa_key
from web.gateways.credentials import (
    ApnsCertificate,
    ApnsKey,
    Credential,
    ServiceAccount,
    VapidKey,
    parse_credential,
)

AUTHORITY = Authority()
OTHER_CURVE = pem(ec.generate_private_key(ec.SECP384R1()))
CURVE = pem(ec.generate_private_key(ec.SECP256R1()))
ACCOUNT = {
    "type": "service_account",
    "project_id": "shop",
    "private_key": pem(rsa_key()),
    "client_email": "push@shop.iam.gserviceaccount.com",
}
VAPID = {"subject": "mailto:ops@shop.example", "private_key": CURVE}
P8 = json.loads(Apple().credential)


def parse(provider: str, kind: str, content: object, topic: str = TOPIC) -> Credential:
    """What is stored as JSON, or as it is."""
    text = content if isinstance(content, str) else json.dumps(content)
    return parse_credential(provider, kind, topic=topic, environment="sandbox", content=text)


def test_each_kind_is_understood() -> None:
    """As the providers give them."""
    key = parse("apns", "p8", P8)
    account = parse("fcm", "service_account", ACCOUNT, topic="")
    vapid = parse("webpush", "vapid", VAPID, topic="")

    assert isinstance(key, ApnsKey)
    assert (key.key_id, key.team_id, key.topic, key.sandbox) == (KEY_ID, TEAM_ID, TOPIC, True)
    assert isinstance(account, ServiceAccount)
    assert (account.project, account.token_url) == ("shop", "https://oauth2.googleapis.com/token")
    assert isinstance(vapid, VapidKey)


def test_a_certificate_says_its_topic_unless_another_is_given() -> None:
    """Apple's certificates carry the bundle id as UID; its key may be before or behind it."""
    content = AUTHORITY.issue("Apple Push Services", uid="com.shop.uid")
    start = content.index("-----BEGIN PRIVATE")

    for text in (content, content[start:] + content[:start]):
        plain, named = parse("apns", "certificate", text, ""), parse("apns", "certificate", text)
        assert isinstance(plain, ApnsCertificate)
        assert isinstance(named, ApnsCertificate)
        assert (plain.topic, named.topic) == ("com.shop.uid", TOPIC)


def test_a_vapid_key_may_be_raw() -> None:
    """32 bytes in base64url, as most tools make them."""
    key = ec.generate_private_key(ec.SECP256R1())
    raw = key.private_numbers().private_value.to_bytes(32)

    found = parse("webpush", "vapid", {**VAPID, "private_key": encode_base64url(raw)})

    assert isinstance(found, VapidKey)
    assert found.key.private_numbers() == key.private_numbers()


@pytest.mark.parametrize(
    ("provider", "kind", "content", "named"),
    [
        ("apns", "p8", "nonsense", "content"),
        ("apns", "p8", {"key_id": KEY_ID}, "content"),
        ("apns", "p8", {**P8, "key_id": "x"}, "content.key_id"),
        ("apns", "p8", {**P8, "team_id": "../../.."}, "content.team_id"),
        ("apns", "p8", {**P8, "key": "s3cret"}, "content.key"),
        ("apns", "p8", {**P8, "key": OTHER_CURVE}, "content.key"),
        ("apns", "p8", {**P8, "key": pem(rsa_key())}, "content.key"),
        ("apns", "certificate", "", "content"),
        ("apns", "certificate", CURVE, "content"),
        ("apns", "certificate", AUTHORITY.certificate, "content"),
        ("apns", "certificate", AUTHORITY.certificate + CURVE, "content"),
        ("fcm", "service_account", {**ACCOUNT, "private_key": CURVE}, "content.private_key"),
        ("fcm", "service_account", {**ACCOUNT, "project_id": "a/b"}, "content.project_id"),
        ("fcm", "service_account", {**ACCOUNT, "token_uri": "x"}, "content.token_uri"),
        ("fcm", "service_account", [], "content"),
        ("webpush", "vapid", {**VAPID, "subject": "ops"}, "content.subject"),
        ("webpush", "vapid", {**VAPID, "private_key": "AAAA"}, "content.private_key"),
        ("webpush", "vapid", {**VAPID, "private_key": "A" * 43}, "content.private_key"),
        ("webpush", "vapid", {**VAPID, "private_key": OTHER_CURVE}, "content.private_key"),
        ("webpush", "p8", P8, "kind"),
        ("huawei", "x", {}, "kind"),
    ],
)
def test_what_cannot_work_is_refused_with_its_field(
    provider: str, kind: str, content: object, named: str
) -> None:
    """When it is stored, not when the first phone is away; and no key is in the error."""
    with pytest.raises(BadInput) as refusal:
        parse(provider, kind, content, "com.shop" if provider == "apns" else "")

    assert refusal.value.field == named
    assert "PRIVATE" not in str(refusal.value)
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize("topic", ["", "a b", "a/b", "a\r\nb", "x" * 129])
def test_a_topic_is_a_bundle_id(topic: str) -> None:
    """It becomes a header."""
    with pytest.raises(BadInput, match="topic"):
        parse("apns", "p8", P8, topic)


def test_an_environment_is_one_of_two() -> None:
    """Not silently the other one."""
    with pytest.raises(BadInput, match="environment"):
        parse_credential("apns", "p8", topic=TOPIC, environment="prod", content=json.dumps(P8))


def test_no_key_is_shown() -> None:
    """Whoever prints a credential sees whose it is, and nothing to sign with."""
    small = pem(rsa.generate_private_key(65537, 1024))
    shown = [
        repr(parse("apns", "p8", P8)),
        repr(parse("fcm", "service_account", {**ACCOUNT, "private_key": small})),
        repr(parse("webpush", "vapid", VAPID)),
        repr(parse("apns", "certificate", AUTHORITY.issue("x"))),
    ]

    assert not any("PRIVATE" in text or "key=" in text.replace("_key=", "") for text in shown)
