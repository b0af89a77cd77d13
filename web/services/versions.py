"""Versions of client programs. Everybody may ask for them; operators keep them.

Source: appmsgsrv app/client.go; spec/appmsgsrv.md 4.4 (18). There they are made by hand, in SQL.
"""

from functools import partial
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from appmodel.errors import Conflict, NotFound
from appmodel.io.database import Database
from appmodel.orm import version_queries as queries
from appmodel.orm.people import ClientVersion as Row
from web.core.fields import known_id, text_of
from web.core.paging import Paging, cut
from web.core.principals import Operator
from web.core.versions import MAX_TYPE, ClientVersion, ClientVersionChange, NewClientVersion


class Versions:
    """The use cases."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self, type_: str) -> ClientVersion | None:
        """Of a type; None: there is none."""
        text_of("type", type_, MAX_TYPE)

        def find(session: Session) -> ClientVersion | None:
            row = queries.newest_version(session, type_)
            return None if row is None else _shown(row)

        return await self._database.read(find)

    async def page(
        self, paging: Paging, type_: str | None
    ) -> tuple[list[ClientVersion], str | None]:
        """Some, by (type, code); `type_`: only of this one."""
        if type_ is not None:
            text_of("type", type_, MAX_TYPE)

        def find(session: Session) -> list[ClientVersion]:
            rows = queries.page_of_versions(session, type_, paging.after, paging.limit)
            return [_shown(row) for row in rows]

        found = await self._database.read(find)
        return cut(found, paging, lambda one: (one.type, one.code, one.id))

    async def get(self, version_id: str) -> ClientVersion:
        """One. Raises NotFound."""
        known_id("version", version_id)
        return await self._database.read(lambda session: _shown(_found(session, version_id)))

    async def create(self, _: Operator, wanted: NewClientVersion) -> ClientVersion:
        """A new one.

        Raises:
            BadInput: a field.
            Conflict: there is one of that type and code.
        """
        columns = wanted.columns()
        try:
            return await self._database.write(partial(_create, columns))
        except IntegrityError:
            raise _taken(wanted.type, wanted.code) from None

    async def change(
        self, _: Operator, version_id: str, wanted: ClientVersionChange
    ) -> ClientVersion:
        """Change one.

        Raises:
            NotFound: there is none.
            BadInput: a field.
            Conflict: there is another one of that type and code.
        """
        known_id("version", version_id)
        columns = wanted.columns()
        try:
            return await self._database.write(partial(_change, version_id, columns))
        except IntegrityError:
            raise _taken("its type", columns.get("ver_code")) from None

    async def delete(self, _: Operator, version_id: str) -> None:
        """Remove one. Raises NotFound."""
        known_id("version", version_id)
        if not await self._database.write(
            lambda session: queries.delete_version(session, version_id)
        ):
            raise _no_such(version_id)


def _create(columns: dict[str, Any], session: Session) -> ClientVersion:
    return _shown(queries.insert_version(session, columns))


def _change(version_id: str, columns: dict[str, Any], session: Session) -> ClientVersion:
    row = _found(session, version_id)
    for name, value in columns.items():
        setattr(row, name, value)
    session.flush()
    return _shown(row)


def _found(session: Session, version_id: str) -> Row:
    row = queries.find_version(session, version_id)
    if row is None:
        raise _no_such(version_id)
    return row


def _no_such(version_id: str) -> NotFound:
    return NotFound(f"version: there is no {version_id!r}")


def _taken(type_: str, code: object) -> Conflict:
    return Conflict(f"code: there is a version {code} of {type_} already")


def _shown(row: Row) -> ClientVersion:
    return ClientVersion(
        id=row.id,
        type=row.type,
        code=row.ver_code,
        name=row.ver_name,
        description=row.ver_description,
        url=row.download_url,
        file_name=row.file_name,
    )
