"""What a tenant proves itself with to providers of notifications, as /v2 shows and takes it.

The content is written, and never shown again; its forms are those of web/gateways/credentials.py.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from web.core.fields import text_of
from web.core.paging import Next

MAX_CONTENT = 16 * 1024  # characters
MAX_TOPIC = 128


class PushCredential(msgspec.Struct, frozen=True, kw_only=True):
    """A credential, without its content."""

    id: str
    tenant_id: str
    provider: Annotated[str, Meta(description="apns, fcm or webpush")]
    kind: Annotated[str, Meta(description="p8 or certificate; service_account; vapid")]
    topic: Annotated[str, Meta(description="The app's bundle id; of FCM the project, or empty")]
    environment: Annotated[str, Meta(description="production or sandbox")]
    created: Annotated[float, Meta(description="Unix seconds")]


class NewPushCredential(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A credential to keep. One for each tenant, provider, topic and environment."""

    provider: str
    kind: str
    content: Annotated[
        str,
        Meta(
            description='p8: JSON {"key_id","team_id","key"}; certificate: PEM with its key; '
            'service_account: Google\'s JSON; vapid: JSON {"subject","private_key"}'
        ),
    ]
    topic: str = ""
    environment: str = "production"
    tenant_id: str | None = None

    def check(self) -> None:
        """Raise BadInput for what no row can hold. Whether the content is good is found out later."""
        text_of("topic", self.topic, MAX_TOPIC)


class PushCredentialsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A page of credentials, by id."""

    items: list[PushCredential]
    next: Next
