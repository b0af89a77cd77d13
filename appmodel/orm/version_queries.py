"""Client versions: the programs that users can get."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.orm.pages import page
from appmodel.orm.people import ClientVersion


def newest_version(session: Session, type_: str) -> ClientVersion | None:
    """Of a type of client, the one with the highest code."""
    mine = sa.select(ClientVersion).where(ClientVersion.type == type_)
    return session.scalar(mine.order_by(ClientVersion.ver_code.desc()).limit(1))


def page_of_versions(
    session: Session, type_: str | None, after: Sequence[str | int] | None, limit: int
) -> list[ClientVersion]:
    """By (type, code), one more than `limit`; `type_`: only of this one."""
    wanted = sa.select(ClientVersion)
    if type_ is not None:
        wanted = wanted.where(ClientVersion.type == type_)
    by_code = [ClientVersion.type, ClientVersion.ver_code, ClientVersion.id]
    return list(session.scalars(page(wanted, by_code, after, limit)))


def find_version(session: Session, version_id: str) -> ClientVersion | None:
    """One."""
    return session.get(ClientVersion, version_id)


def insert_version(session: Session, columns: Mapping[str, Any]) -> ClientVersion:
    """A new one. Raises IntegrityError if there is one of that type and code."""
    row = ClientVersion(**columns)
    session.add(row)
    session.flush()
    return row


def delete_version(session: Session, version_id: str) -> bool:
    """Whether there was one."""
    gone = sa.delete(ClientVersion).where(ClientVersion.id == version_id)
    return session.connection().execute(gone).rowcount > 0
