"""Namespaces as the light-push REST writes and reads them.

    save   {"key":"/demo","name":"Shop","auth_passwd":"s3cret","connect_callback":"https://shop.example/in",
            "offline":"on","apns_list":[{"name":"main","apns_env":"production","apns_topic":"a.b"},{"name":"old","del":true}]}
    read   {"key":"/demo","name":"Shop","connect_callback":"https://shop.example/in","disconnect_callback":null,
            "auth_passwd":"********","apns_list":[{"name":"main","apns_env":"production","apns_topic":"a.b"}],
            "update_date":"1793233999000","client_ip":"","callback_auth":null,"offline":"on"}

Of a save only the given fields change; null or "" takes a value away. A secret is read as MASK, and a save that
has MASK in its place leaves it alone: so what was read can be saved again.

Source: spec/liutian-push.md 5.5. Differences: the original takes values of any type, and anything as a URL; a
key without its slash, which no client could ever connect to, is refused; secrets go out only while an
installation is being moved (web.lightpush.clear_secrets).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import UNSET, UnsetType

from appmodel.core.lightpush import Refusal, is_namespace
from appmodel.core.lightpush_records import (
    ApnsChange,
    ApnsConfig,
    Hidden,
    Namespace,
    NamespaceChange,
    NamespaceQuery,
)
from appmodel.errors import BadInput
from web.core.lightpush_wire import Asked

MASK = "********"
MAX_TEXT = 255  # characters of names, passwords and other short texts
MAX_APNS_NAME = 100
MAX_CALLBACK = 1000  # of a URL
MAX_PEM = 16 * 1024
MAX_APNS_CHANGES = 100
PAGE_SIZE, MAX_PAGE_SIZE, MAX_PAGE = 20, 500, 100_000

# of an element of apns_list: what it is called on the wire, and whether it is a PEM text
_APNS = {
    "environment": ("apns_env", False),
    "expiration": ("apns_expiration", False),
    "topic": ("apns_topic", False),
    "dev_cert": ("apns_dev_cert", True),
    "dev_key": ("apns_dev_key", True),
    "production_cert": ("apns_production_cert", True),
    "production_key": ("apns_production_key", True),
    "token_key": ("token_key", True),
    "token_key_id": ("token_keyId", False),
    "token_team_id": ("token_teamId", False),
}

# What secrets look like, and how that is said.
LINE = (
    re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]+"),
    "a text without control characters, or null",
)
HEADER = (
    re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?"),
    "the value of a header, in ASCII, or null",
)
PEM = (re.compile(r"\s*-----BEGIN [^\x00\ud800-\udfff]+"), "a PEM text (-----BEGIN ...), or null")

CheckUrl = Callable[[str, str], None]
"""`check(field, url)` raises BadInput for a URL that may not be called."""


def namespace_key(value: object) -> str:
    """The key in a save. Raises Refusal."""
    if not value:
        raise Refusal("key is null")
    if not isinstance(value, str) or not is_namespace(value) or not value.startswith("/"):
        raise Refusal("namespace invalid")
    return value


def maintained_key(value: object) -> str:
    """The key in a call of maintenance, with or without its slash. Raises Refusal."""
    if not value:
        raise Refusal("can not find key")
    if not isinstance(value, str):
        raise Refusal("namespace invalid")
    key = value if value.startswith("/") else f"/{value}"
    if not is_namespace(key):
        raise Refusal("namespace invalid")
    return key


def namespace_change(fields: Mapping[str, Any], check_url: CheckUrl) -> NamespaceChange:
    """What a save changes.

    Raises:
        BadInput: a value that is of another type, too long, or a URL that may not be called.
    """
    return NamespaceChange(
        name=_text(fields, "name", MAX_TEXT),
        connect_callback=_url(fields, "connect_callback", check_url),
        disconnect_callback=_url(fields, "disconnect_callback", check_url),
        callback_auth=_secret(fields, "callback_auth", MAX_TEXT, *HEADER),
        auth_passwd=_secret(fields, "auth_passwd", MAX_TEXT, *LINE),
        is_offline=_offline(fields),
        apns=_apns_changes(fields.get("apns_list")),
    )


def namespace_query(asked: Asked) -> NamespaceQuery:
    """Which namespaces a list is of. Raises BadInput."""
    offline = asked.text("offline")
    if offline not in ("", "all", "on", "off"):
        raise BadInput("offline", offline, '"on", "off" or "all"')
    parts = {name: asked.text(name) for name in ("key", "name")}
    for name, value in parts.items():
        _check_line(name, value, MAX_TEXT)
    return NamespaceQuery(
        key=parts["key"],
        name=parts["name"],
        is_offline={"on": True, "off": False}.get(offline),
    )


def namespace_fields(
    namespace: Namespace, apns: Sequence[ApnsConfig], password: str | None
) -> dict[str, Any]:
    """A namespace as it is answered. `password`: in clear text; None = it is masked, if there is one."""
    is_clear = password is not None
    masked = None if namespace.password_digest is None else MASK
    return {
        "key": namespace.key,
        "name": namespace.name,
        "connect_callback": namespace.connect_callback,
        "disconnect_callback": namespace.disconnect_callback,
        "auth_passwd": _shown(password, is_clear=True) if is_clear else masked,
        "apns_list": [_apns_fields(each, is_clear=is_clear) for each in apns],
        "update_date": str(namespace.update_date),
        "client_ip": "",
        "callback_auth": _shown(namespace.callback_auth, is_clear=is_clear),
        "offline": "on" if namespace.is_offline else "off",
    }


def _apns_fields(config: ApnsConfig, *, is_clear: bool) -> dict[str, Any]:
    """Those that are set, as they were saved."""
    fields: dict[str, Any] = {"name": config.name}
    for attribute, (name, _) in _APNS.items():
        value = getattr(config, attribute)
        if value is not None:
            fields[name] = _shown(value, is_clear=is_clear) if isinstance(value, Hidden) else value
    return fields


def _shown(secret: str | None, *, is_clear: bool) -> str | None:
    if not secret:
        return None
    return str(secret) if is_clear else MASK  # msgspec encodes no subclass of str


def _apns_changes(value: object) -> Sequence[ApnsChange]:
    if value is None or value == "":
        return ()
    if not isinstance(value, list):
        raise BadInput("apns_list", value, "a list of objects")
    if len(value) > MAX_APNS_CHANGES:
        raise BadInput("apns_list", len(value), f"at most {MAX_APNS_CHANGES} elements")
    return [_apns_change(f"apns_list[{at}]", each) for at, each in enumerate(value)]


def _apns_change(place: str, value: object) -> ApnsChange:
    if not isinstance(value, dict):
        raise BadInput(place, type(value).__name__, "an object")
    name = value.get("name")
    if not isinstance(name, str) or not name:
        raise BadInput(f"{place}.name", name, "a text that is not empty")
    _check_line(f"{place}.name", name, MAX_APNS_NAME)
    changes: dict[str, Any] = {}
    for attribute, (field, is_pem) in _APNS.items():
        if field not in value:
            continue
        given = {f"{place}.{field}": _as_text(value[field])}
        read = _pem if is_pem else _short
        changes[attribute] = read(given, f"{place}.{field}")
    return ApnsChange(name=name, is_deleted=bool(value.get("del")), **changes)


def _as_text(value: object) -> object:
    """`apns_expiration` may be written as a number."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return str(value)
    return value


def _short(fields: Mapping[str, Any], field: str) -> str | UnsetType | None:
    return _text(fields, field, MAX_TEXT)


def _pem(fields: Mapping[str, Any], field: str) -> Hidden | UnsetType | None:
    """W25: a text that is no PEM would be a path on the server to the original's library."""
    return _secret(fields, field, MAX_PEM, *PEM)


def _secret(
    fields: Mapping[str, Any], field: str, most: int, form: re.Pattern[str], expected: str
) -> Hidden | UnsetType | None:
    """A secret is in no error."""
    value = fields.get(field, UNSET)
    if value is UNSET or value == MASK:
        return UNSET
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > most or not form.fullmatch(value):
        raise BadInput(field, MASK, f"{expected}, at most {most} characters")
    return Hidden(value)


def _text(fields: Mapping[str, Any], field: str, most: int) -> str | UnsetType | None:
    value: str | UnsetType | None = fields.get(field, UNSET)
    if value is UNSET:
        return UNSET
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise BadInput(field, value, "a text or null")
    _check_line(field, value, most)
    return value


def _url(fields: Mapping[str, Any], field: str, check: CheckUrl) -> str | UnsetType | None:
    """A callback. What is behind its host may be a secret, so errors do not show it."""
    url: str | UnsetType | None = fields.get(field, UNSET)
    if url is UNSET:
        return UNSET
    if url is None or url == "":
        return None
    if not isinstance(url, str):
        raise BadInput(field, url, "a URL or null")
    if len(url) > MAX_CALLBACK:
        raise BadInput(field, f"{len(url)} characters", f"at most {MAX_CALLBACK}")
    check(field, url)
    return url


def _offline(fields: Mapping[str, Any]) -> bool | UnsetType:
    value = fields.get("offline")
    if value is None or value == "":
        return UNSET
    if value not in ("on", "off"):
        raise BadInput("offline", value, '"on" or "off"')
    return bool(value == "on")


def _check_line(field: str, value: str, most: int) -> None:
    if len(value) > most:
        raise BadInput(field, value, f"at most {most} characters")
    if not value.isprintable():
        raise BadInput(field, value, "printable characters only")
