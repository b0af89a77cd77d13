"""What a tenant proves itself with to a provider, read from `push_credential.content`.

    provider  kind             content
    apns      p8               {"key_id":"ABC123DEFG","team_id":"DEF123GHIJ","key":"-----BEGIN PRIVATE KEY-----..."}
    apns      certificate      PEM: the certificate, its chain, its private key
    fcm       service_account  the service account's JSON, as Google gives it
    webpush   vapid            {"subject":"mailto:ops@shop.example","private_key":PEM or base64url}

`topic` is the app's bundle id; of a certificate it may be empty: its subject's UID says it. For FCM it may name
another project than the service account's. Errors name the field, and never show the content.

Source: Apple, "Establishing a token-based connection"; Google, "Using OAuth 2.0 for server to server
applications"; RFC 8292 section 2.
"""

import re
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from appmodel.core.base64url import decode_base64url
from appmodel.core.outward import parse_url
from appmodel.errors import BadInput

T = TypeVar("T")

HIDDEN = "********"

_APPLE_ID = re.compile(r"[A-Z0-9]{10}")
_TOPIC = re.compile(r"[A-Za-z0-9.-]{1,128}")
_PROJECT = re.compile(r"[a-z0-9:.-]{1,64}")
_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_SUBJECT = re.compile(r"(mailto:[^\s@]+@[^\s@]+|https://\S+)")


@dataclass(frozen=True, slots=True)
class ApnsKey:
    """A team's key (.p8): it signs tokens for each of the team's apps."""

    key_id: str
    team_id: str
    topic: str
    sandbox: bool
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApnsCertificate:
    """An app's certificate and its key."""

    topic: str
    sandbox: bool
    pem: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A Google account that may send for a project."""

    project: str
    email: str
    token_url: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class VapidKey:
    """Who sends, to push services of browsers."""

    subject: str
    key: ec.EllipticCurvePrivateKey = field(repr=False)


Credential: TypeAlias = ApnsKey | ApnsCertificate | ServiceAccount | VapidKey


def parse_credential(
    provider: str, kind: str, *, topic: str, environment: str, content: str
) -> Credential:
    """The credential of these columns; for those who store one, and for those who use it.

    Raises:
        BadInput: naming the column, or the field of `content`.
    """
    if environment not in ("production", "sandbox"):
        raise BadInput("environment", environment, '"production" or "sandbox"')
    sandbox = environment == "sandbox"
    match provider, kind:
        case "apns", "p8":
            return _apns_key(content, _topic(topic), sandbox)
        case "apns", "certificate":
            return _apns_certificate(content, topic, sandbox)
        case "fcm", "service_account":
            return _service_account(content, topic)
        case "webpush", "vapid":
            return _vapid_key(content)
    raise BadInput(
        "kind", f"{provider} {kind}", "apns p8|certificate, fcm service_account, webpush vapid"
    )


class _P8(msgspec.Struct):
    key_id: str
    team_id: str
    key: str


class _Account(msgspec.Struct):
    client_email: str
    private_key: str
    project_id: str
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105  # no password


class _Vapid(msgspec.Struct):
    subject: str
    private_key: str


def _apns_key(content: str, topic: str, sandbox: bool) -> ApnsKey:
    found = _json(content, _P8)
    for name in ("key_id", "team_id"):
        if not _APPLE_ID.fullmatch(getattr(found, name)):
            raise BadInput(f"content.{name}", getattr(found, name), "10 capital letters and digits")
    key = _private_key(found.key, "content.key")
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise BadInput("content.key", HIDDEN, "a key on the curve P-256")
    return ApnsKey(found.key_id, found.team_id, topic, sandbox, found.key)


def _apns_certificate(content: str, topic: str, sandbox: bool) -> ApnsCertificate:
    try:
        certificate = x509.load_pem_x509_certificate(content.encode())
    except ValueError:
        raise BadInput("content", HIDDEN, "a certificate and its key in PEM") from None
    key = _private_key(content, "content")
    if key.public_key() != certificate.public_key():
        raise BadInput("content", HIDDEN, "the private key of the first certificate")
    if not topic:
        uids = certificate.subject.get_attributes_for_oid(NameOID.USER_ID)
        topic = str(uids[0].value) if uids else ""
    return ApnsCertificate(_topic(topic), sandbox, content)


def _service_account(content: str, project: str) -> ServiceAccount:
    found = _json(content, _Account)
    project = project or found.project_id
    if not _PROJECT.fullmatch(project):
        raise BadInput("content.project_id", project, "the id of a Firebase project")
    if not isinstance(_private_key(found.private_key, "content.private_key"), rsa.RSAPrivateKey):
        raise BadInput("content.private_key", HIDDEN, "an RSA key")
    parse_url(found.token_uri, "content.token_uri")
    return ServiceAccount(project, found.client_email, found.token_uri, found.private_key)


def _vapid_key(content: str) -> VapidKey:
    found = _json(content, _Vapid)
    if not _SUBJECT.fullmatch(found.subject):
        raise BadInput("content.subject", found.subject, '"mailto:..." or "https://..."')
    if "-----BEGIN" in found.private_key:
        key = _private_key(found.private_key, "content.private_key")
    else:
        raw = decode_base64url(found.private_key, "content.private_key", size=32)
        try:
            key = ec.derive_private_key(int.from_bytes(raw), ec.SECP256R1())
        except ValueError:
            raise BadInput("content.private_key", HIDDEN, "a number of the curve P-256") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise BadInput("content.private_key", HIDDEN, "a key on the curve P-256")
    return VapidKey(found.subject, key)


def _topic(topic: str) -> str:
    if not _TOPIC.fullmatch(topic):
        raise BadInput("topic", topic, "the app's bundle id, such as com.shop.app")
    return topic


def _json(content: str, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError as error:  # says which field, not its value
        raise BadInput("content", HIDDEN, f"JSON ({error})") from None


def _private_key(pem: str, name: str) -> PrivateKeyTypes:
    start = _KEY.search(pem)  # behind the certificates
    try:
        return load_pem_private_key(pem[start.start() if start else 0 :].encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it has a password
        raise BadInput(name, HIDDEN, "a private key in PEM, without a password") from None
