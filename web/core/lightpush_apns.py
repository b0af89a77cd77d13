"""What Apple gets of a push of light-push, through which configuration, and what its report says of that.

    apnsName "main"    the configuration "main" of the push's namespace    not there: "apnsName:main not exists"
    none               "default" of the namespace "/"                      not there: "no default apns"

    pushData.apsData   {"aps":{"badge":1},"order":7}
    to Apple           {"aps":{"badge":1,"alert":"Notification"},"order":7}    there is always an alert

    apns_expiration    Unix seconds to come; anything else stands for the end of the push
    result             apnsEnv:production  >>>>  /demo#u1#ios-d1:BadDeviceToken  >>>>  ...

A configuration proves itself with its key for tokens (`token_key`), else with the certificate and the key of its
environment. All of these are PEM texts; what is none is refused, and never a path of ours (W25).

Source: spec/liutian-push.md 8.5. Difference: the original sends `apns_expiration` as it is, so a constant is soon over.
"""

from typing import Any, NamedTuple

import msgspec

from appmodel.core.lightpush import DEFAULTS
from appmodel.core.lightpush_push import APS_DATA, is_true
from appmodel.core.lightpush_records import ApnsConfig, Draft, Hidden, StoredPush

DEFAULT_NAME = "default"
PRODUCTION = "production"
MAX_SECONDS = 10**11  # Unix seconds: what is above it is a moment in milliseconds

# What Apple says of a token that is none any more, or none of this app: it is forgotten.
DEAD = frozenset({"BadDeviceToken", "DeviceTokenNotForTopic", "Unregistered", "ExpiredToken"})


class Place(NamedTuple):
    """Whose configuration, and which."""

    namespace: str
    name: str

    @property
    def missing(self) -> str:
        """What a report says if it is not there."""
        if self.namespace == DEFAULTS:
            return "no default apns"
        return f"apnsName:{self.name} not exists"


class Proof(NamedTuple):
    """A configuration's credential, as web/gateways/credentials.py reads it."""

    kind: str
    topic: str
    environment: str
    content: Hidden


UNUSABLE = "apnProvider not exists"  # said of a configuration that cannot be used


class Letter(NamedTuple):
    """What Apple is told of a push, for each of its clients."""

    payload: dict[str, Any]
    expiration: int  # Unix seconds


def place_of(draft: Draft) -> Place:
    """Which configuration a push goes through."""
    if draft.apns_name is None:
        return Place(DEFAULTS, DEFAULT_NAME)
    return Place(draft.namespace, draft.apns_name)


def proof_of(config: ApnsConfig) -> Proof:
    """What a configuration proves itself with; whether that is any good is for the gateway to say."""
    is_production = config.environment == PRODUCTION
    environment = "production" if is_production else "sandbox"
    if config.token_key:
        parts = {
            "key_id": config.token_key_id or "",
            "team_id": config.token_team_id or "",
            "key": str(config.token_key),
        }
        content = msgspec.json.encode(parts).decode()
        return Proof("p8", config.topic or "", environment, Hidden(content))
    pair = (
        (config.production_cert, config.production_key)
        if is_production
        else (config.dev_cert, config.dev_key)
    )
    pem = "\n".join(str(text) for text in pair if text)
    return Proof("certificate", config.topic or "", environment, Hidden(pem))


def letter_of(push: StoredPush, config: ApnsConfig, *, alert: str, now: int) -> Letter:
    """What a configuration makes of a push. `alert`: shown where the push says nothing; `now`: ms."""
    draft = push.draft
    until = expiration(config.expiration, expires_at=draft.expires_at, now=now)
    return Letter(aps_payload(draft.push_data, alert), until)


def environment_note(config: ApnsConfig) -> str:
    """What a report begins with."""
    return f"apnsEnv:{PRODUCTION if config.environment == PRODUCTION else 'development'}"


def aps_payload(push_data: str, alert: str) -> dict[str, Any]:
    """The body for Apple."""
    data = msgspec.json.decode(push_data)
    given = data.get(APS_DATA) if isinstance(data, dict) else None
    payload = dict(given) if isinstance(given, dict) else {}
    aps = payload.get("aps")
    aps = dict(aps) if isinstance(aps, dict) else {}
    if not is_true(aps.get("alert")):
        aps["alert"] = alert
    return payload | {"aps": aps}


def expiration(configured: str | None, *, expires_at: int, now: int) -> int:
    """Until when Apple keeps it, in Unix seconds. `expires_at` of the push and `now`: ms."""
    if configured and configured.isascii() and configured.isdecimal() and len(configured) <= 11:
        moment = int(configured)
        if now / 1000 < moment < MAX_SECONDS:
            return moment
    return expires_at // 1000
