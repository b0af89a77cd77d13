"""Namespaces of light-push in the application's database: see Namespaces in core/lightpush_stores.py.

For caches (io/caching.py): `load` reads many in one query, and `note_of` names what a change is noted under.
"""

from collections.abc import Collection, Mapping, Sequence

import structlog
from sqlalchemy.orm import Session

from appmodel.core.lightpush_records import (
    ApnsConfig,
    Hidden,
    Namespace,
    NamespaceChange,
    NamespaceQuery,
)
from appmodel.core.sealing import Sealing
from appmodel.io.database import Database
from appmodel.orm import lightpush_namespace_queries as queries

log = structlog.get_logger(__name__)


class SqlNamespaces:
    """See Namespaces."""

    def __init__(self, database: Database, sealing: Sealing) -> None:
        self._database, self._sealing = database, sealing

    def load(self, session: Session, keys: Sequence[str]) -> dict[str, Namespace]:
        """What a Cache loads."""
        return queries.find_namespaces(session, keys, self._sealing, _complain)

    def has_password(self, namespace: Namespace, password: str) -> bool:
        """Whether this is its password, in constant time. One without a password has none, "" neither."""
        place = queries.password_place(namespace.key)
        return self._sealing.matches(password, namespace.password_digest, place)

    async def find(self, keys: Collection[str]) -> Mapping[str, Namespace]:
        """See Namespaces."""
        return await self._database.read(lambda session: self.load(session, list(keys)))

    async def save(self, key: str, change: NamespaceChange, *, now: int) -> None:
        """See Namespaces."""
        await self._database.write(
            lambda session: queries.save_namespace(session, key, change, self._sealing, now)
        )

    async def page(
        self, query: NamespaceQuery, *, offset: int, limit: int
    ) -> tuple[Sequence[Namespace], int]:
        """See Namespaces."""
        return await self._database.read(
            lambda session: queries.namespaces_page(
                session, query, self._sealing, _complain, offset=offset, limit=limit
            )
        )

    async def apns(self, keys: Collection[str]) -> Mapping[str, Sequence[ApnsConfig]]:
        """See Namespaces."""
        return await self._database.read(
            lambda session: queries.apns_of(session, keys, self._sealing, _complain)
        )

    async def passwords(self, keys: Collection[str]) -> Mapping[str, Hidden]:
        """See Namespaces."""
        return await self._database.read(
            lambda session: queries.passwords_of(session, keys, self._sealing, _complain)
        )

    async def remove(self, key: str) -> bool:
        """See Namespaces."""
        return await self._database.write(lambda session: queries.remove_namespace(session, key))


def _complain(place: str) -> None:
    log.warning("a secret was sealed with another auth.secret: save it again", place=place)
