"""[web.notifications]. A module of its own, so that web/config.py needs no gateway to be read."""

from typing import Annotated, Literal

import msgspec

from appmodel.core.units import Duration
from appmodel.io.outbound_limits import OutboundLimits
from appmodel.runtime.config import Count, HostPort, Section


class ApnsConfig(Section, frozen=True, kw_only=True):
    """[web.notifications.apns]. Apple; sound and category are what apps of appmsgsrv expect."""

    production: HostPort = "api.push.apple.com:443"
    sandbox: HostPort = "api.sandbox.push.apple.com:443"
    connections: Annotated[int, msgspec.Meta(ge=1, le=10)] = 2  # of one credential
    idle_timeout: Duration = Duration(3600)  # Apple wants connections to be kept
    sound: str = "bingbong.aiff"
    category: str = "Test!"
    adopted: Literal["production", "sandbox"] = (
        "sandbox"  # where certificates of an adopted database count; apns.type
    )


class NotificationsConfig(Section, frozen=True, kw_only=True):
    """[web.notifications]. What reaches phones that are away. Credentials are the tenants' own."""

    backlog: Count = (
        100_000  # users, and notifications, that wait; the busiest tenant loses its oldest
    )
    concurrency: Count = 32  # notifications under way for one tenant at one provider
    first_pause: Duration = Duration(1)  # before the second try, at most; doubles
    max_pause: Duration = Duration(60)  # up to here, or what the provider asks for
    retry_for: Duration = Duration(6 * 3600)  # or until the message expires
    badge_reads: Annotated[int, msgspec.Meta(ge=0)] = (
        100  # of the store, for 500 users of one push; the others keep their badge
    )
    refresh: Duration = Duration(30)  # credentials are read again after this time
    misconfigured_pause: Duration = Duration(60)  # a credential that is wrong is not asked
    drain_timeout: Duration = Duration(3)  # at the end, for what was not tried yet
    fcm_url: str = "https://fcm.googleapis.com"
    apns: ApnsConfig = ApnsConfig()
    outbound: OutboundLimits = OutboundLimits(max_connections=32)
