"""Files that messages speak of: where they are, and when they may go."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from appmodel.orm.base import Base, Created, Id, Number, Ref, Updated, Utc, exact, options


class FileLink(Base):
    """A file as one sender knows it. The last link to a `file_url` takes the file with it."""

    __tablename__ = "file_link"
    __table_args__ = options(
        sa.UniqueConstraint("sender_id", "file_id"),
        sa.Index(None, "updated"),
        sa.Index(None, "file_id"),
    )

    id: Mapped[Id]
    sender_id: Mapped[Ref]  # user or application
    file_id: Mapped[str] = mapped_column(exact(64), default="", server_default="")
    file_name: Mapped[str] = mapped_column(sa.String(255), default="", server_default="")
    file_url: Mapped[str] = mapped_column(sa.String(255), default="", server_default="")
    size: Mapped[Number]
    created: Mapped[Created]
    updated: Mapped[Updated]


class StoredFile(Base):
    """A file that we keep ourselves: uploaded by POST /v2/files (ours)."""

    __tablename__ = "stored_file"
    __table_args__ = options(sa.Index(None, "expires"), sa.Index(None, "tenant_id"))

    id: Mapped[Id]
    tenant_id: Mapped[Ref]
    # u1@user, a1@app
    owner_id: Mapped[str] = mapped_column(exact(70), default="", server_default="")
    name: Mapped[str] = mapped_column(sa.String(255), default="", server_default="")
    media_type: Mapped[str] = mapped_column(sa.String(128), default="", server_default="")
    size: Mapped[Number]
    digest: Mapped[str] = mapped_column(sa.String(64), default="", server_default="")  # SHA-256
    created: Mapped[Created]
    expires: Mapped[datetime | None] = mapped_column(Utc)
