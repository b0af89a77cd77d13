"""Applications: back ends with an account of their own, their menus and their credentials.

application        `token_digest` is what is compared (ours); `token` is what an adopted database had,
                   until `appmsg migrate` has replaced it by its digest
operation          a menu of two levels
resource           per customer: paths of APNs certificates, as the original keeps them
push_credential    per tenant: what the notification gateways sign with             (ours)
external_interface where logins of a customer are checked; the original's dead code
"""

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from appmodel.orm.base import Base, Created, Id, Number, Ref, Updated, exact, options


class Application(Base):
    """A back end of a tenant. `permissions`: names joined by blanks, see web/core/permissions.py."""

    __tablename__ = "application"
    __table_args__ = options(sa.UniqueConstraint("token_digest"), sa.Index(None, "tenant_id"))

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(sa.String(45), default="", server_default="")
    token: Mapped[str | None] = mapped_column(exact(45))
    type: Mapped[str] = mapped_column(sa.String(45), default="", server_default="")
    status: Mapped[Number]
    sort: Mapped[Number]
    level: Mapped[Number]
    avatar: Mapped[str] = mapped_column(sa.String(255), default="", server_default="")
    tenant_id: Mapped[Ref]
    created: Mapped[Created]
    updated: Mapped[Updated]
    name_py: Mapped[str] = mapped_column(sa.String(45), default="", server_default="")
    name_quanpin: Mapped[str] = mapped_column(sa.String(45), default="", server_default="")
    description: Mapped[str] = mapped_column(sa.Text, default="")
    follow: Mapped[str] = mapped_column(sa.Text, default="")
    token_digest: Mapped[str | None] = mapped_column(sa.String(64))  # SHA-256, hexadecimal
    permissions: Mapped[str] = mapped_column(sa.String(255), default="", server_default="")


class Operation(Base):
    """An entry of an application's menu."""

    __tablename__ = "operation"
    __table_args__ = options(sa.Index(None, "app_id", "sort"))

    id: Mapped[Id]
    app_id: Mapped[Ref]
    content: Mapped[str] = mapped_column(sa.String(45), default="", server_default="")  # label
    action: Mapped[str] = mapped_column(sa.String(255), default="", server_default="")  # URL
    operation_type: Mapped[str] = mapped_column(sa.String(1), default="1", server_default="1")
    sort: Mapped[Number]
    parent_id: Mapped[str | None] = mapped_column(exact(64))  # None: top level


class Resource(Base):
    """Something of a customer. Types "0" and "1": paths of its APNs certificate and key."""

    __tablename__ = "resource"
    __table_args__ = options(sa.Index(None, "customer_id", "type"))

    id: Mapped[Id]
    customer_id: Mapped[Ref]
    name: Mapped[str] = mapped_column(sa.String(45), default="", server_default="")
    description: Mapped[str] = mapped_column(sa.String(512), default="", server_default="")
    type: Mapped[str] = mapped_column(exact(45), default="", server_default="")
    content: Mapped[str] = mapped_column(sa.String(255), default="", server_default="")
    created: Mapped[Created]
    updated: Mapped[Updated]


class PushCredential(Base):
    """What a provider of notifications wants from a tenant. `content` is secret: never shown again."""

    __tablename__ = "push_credential"
    __table_args__ = options(sa.UniqueConstraint("tenant_id", "provider", "topic", "environment"))

    id: Mapped[Id]
    tenant_id: Mapped[Ref]
    provider: Mapped[str] = mapped_column(sa.String(16))  # apns, fcm, webpush
    kind: Mapped[str] = mapped_column(sa.String(16))  # p8, certificate, service_account, vapid
    topic: Mapped[str] = mapped_column(exact(128), default="", server_default="")  # bundle, project
    environment: Mapped[str] = mapped_column(sa.String(16), default="production")  # or sandbox
    content: Mapped[str] = mapped_column(sa.Text)
    created: Mapped[Created]
    updated: Mapped[Updated]


class ExternalInterface(Base):
    """Where a customer's logins would be checked. Nothing reads it, in the original neither."""

    __tablename__ = "external_interface"

    id: Mapped[Id]
    customer_id: Mapped[Ref]
    type: Mapped[str] = mapped_column(sa.String(45), default="", server_default="")
    owner: Mapped[Number]
    http_url: Mapped[str] = mapped_column(sa.String(255), default="", server_default="")
    created: Mapped[Created]
    updated: Mapped[Updated]
