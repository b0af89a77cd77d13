"""Namespaces of light-push: found, saved, listed. Secrets go in and out sealed.

A save locks the namespace's row first, so two at once come one after the other and none is lost (W37).
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import UNSET
from sqlalchemy.orm import Session

from appmodel.core.lightpush import note_of
from appmodel.core.lightpush_records import (
    ApnsChange,
    ApnsConfig,
    Hidden,
    Namespace,
    NamespaceChange,
    NamespaceQuery,
)
from appmodel.core.lightpush_stores import MAX_APNS
from appmodel.core.sealing import Sealing
from appmodel.errors import LimitReached
from appmodel.orm.changes import note_change
from appmodel.orm.lightpush import Nsp, NspApns
from appmodel.orm.upserts import upsert

Complain = Callable[[str], None]
"""Hears of the place of a secret that cannot be opened."""

PLAIN = ("environment", "expiration", "topic", "token_key_id", "token_team_id")
SECRET = ("dev_cert", "dev_key", "production_cert", "production_key", "token_key")
COLUMNS = (
    Nsp.namespace,
    Nsp.name,
    Nsp.connect_callback,
    Nsp.disconnect_callback,
    Nsp.callback_auth,
    Nsp.password_digest,
    Nsp.offline,
    Nsp.update_date,
)


def password_place(namespace: str) -> str:
    """Where a namespace's password lies, as Sealing calls it; also for its digest."""
    return f"nsp:{namespace}:auth_passwd"


def find_namespaces(
    session: Session, keys: Collection[str], sealing: Sealing, complain: Complain
) -> dict[str, Namespace]:
    """Those of `keys` that there are."""
    rows = session.execute(sa.select(*COLUMNS).where(Nsp.namespace.in_(keys)))
    found = [_namespace(row, sealing, complain) for row in rows]
    return {one.key: one for one in found}


def namespaces_page(
    session: Session,
    query: NamespaceQuery,
    sealing: Sealing,
    complain: Complain,
    *,
    offset: int,
    limit: int,
) -> tuple[list[Namespace], int]:
    """Some of those that match, by their keys, and how many match in all."""
    meant = _matching(query)
    count = session.scalar(sa.select(sa.func.count()).select_from(Nsp).where(*meant)) or 0
    rows = sa.select(*COLUMNS).where(*meant).order_by(Nsp.namespace).offset(offset).limit(limit)
    return [_namespace(row, sealing, complain) for row in session.execute(rows)], count


def save_namespace(
    session: Session, key: str, change: NamespaceChange, sealing: Sealing, now: int
) -> None:
    """See Namespaces.save."""
    new: dict[str, Any] = {"namespace": key, "offline": 0, "update_date": now}
    is_new = not _is_there(session, key)
    upsert(session, Nsp, [new], update=["update_date"])  # locks it
    values = _changed(key, change, sealing, is_new=is_new)
    if values:
        session.execute(sa.update(Nsp).where(Nsp.namespace == key).values(values))
    if change.apns:
        _merge_apns(session, key, change.apns, sealing)
    note_change(session, note_of(key))


def apns_of(
    session: Session, keys: Collection[str], sealing: Sealing, complain: Complain
) -> dict[str, list[ApnsConfig]]:
    """The ways to Apple of these namespaces, in their order."""
    rows = sa.select(NspApns).where(NspApns.namespace.in_(keys))
    found: dict[str, list[ApnsConfig]] = {}
    for row in session.scalars(rows.order_by(NspApns.namespace, NspApns.position)):
        found.setdefault(row.namespace, []).append(_apns(row, sealing, complain))
    return found


def passwords_of(
    session: Session, keys: Collection[str], sealing: Sealing, complain: Complain
) -> dict[str, Hidden]:
    """In clear text, of those that have one."""
    rows = sa.select(Nsp.namespace, Nsp.auth_passwd).where(Nsp.namespace.in_(keys))
    opened = {
        key: _open(sealed, password_place(key), sealing, complain)
        for key, sealed in session.execute(rows)
    }
    return {key: password for key, password in opened.items() if password is not None}


def remove_namespace(session: Session, key: str) -> bool:
    """Whether there was one."""
    session.execute(sa.delete(NspApns).where(NspApns.namespace == key))
    gone = session.connection().execute(sa.delete(Nsp).where(Nsp.namespace == key)).rowcount
    note_change(session, note_of(key))
    return gone > 0


def _is_there(session: Session, key: str) -> bool:
    return session.scalar(sa.select(Nsp.namespace).where(Nsp.namespace == key)) is not None


def _changed(
    key: str, change: NamespaceChange, sealing: Sealing, *, is_new: bool
) -> dict[str, Any]:
    """Columns and what becomes of them."""
    plain = ("name", "connect_callback", "disconnect_callback")
    values = {name: getattr(change, name) for name in plain}
    values["callback_auth"] = _seal(change.callback_auth, f"nsp:{key}:callback_auth", sealing)
    place = password_place(key)
    values["auth_passwd"] = _seal(change.auth_passwd or _none(change.auth_passwd), place, sealing)
    if change.auth_passwd is not UNSET:
        password = change.auth_passwd
        values["password_digest"] = sealing.digest(password, place) if password else None
    if change.is_offline is not UNSET and not is_new:
        values["offline"] = int(change.is_offline)
    return {name: value for name, value in values.items() if value is not UNSET}


def _none(given: object) -> Any:
    """What is not given stays so; an empty text is none."""
    return UNSET if given is UNSET else None


def _seal(text: Any, place: str, sealing: Sealing) -> Any:
    return sealing.seal(text, place) if isinstance(text, str) else text


def _merge_apns(
    session: Session, key: str, changes: Sequence[ApnsChange], sealing: Sealing
) -> None:
    rows = sa.select(NspApns).where(NspApns.namespace == key).order_by(NspApns.position)
    there = {row.name: row for row in session.scalars(rows)}
    position = max((row.position for row in there.values()), default=-1)
    for change in changes:
        row = there.get(change.name)
        if change.is_deleted:
            if row is not None:
                session.delete(there.pop(change.name))
                session.flush()  # the same name may come again
            continue
        if row is None:
            position += 1
            row = there[change.name] = NspApns(namespace=key, name=change.name, position=position)
            session.add(row)
        _overwrite(row, change, sealing)
    if len(there) > MAX_APNS:
        raise LimitReached(f"apns_list: {len(there)} configurations, expected {MAX_APNS} at most")


def _overwrite(row: NspApns, change: ApnsChange, sealing: Sealing) -> None:
    for name in PLAIN:
        if (value := getattr(change, name)) is not UNSET:
            setattr(row, name, value)
    secrets = {name: getattr(change, name) for name in SECRET}
    given = {
        name: None if value is None else str(value)  # JSON takes no Hidden
        for name, value in secrets.items()
        if value is not UNSET
    }
    if given:
        place = _apns_place(row.namespace, row.name)
        kept = _secrets(row, sealing, lambda place: None) | given
        row.secrets = sealing.seal(msgspec.json.encode(kept).decode(), place)


def _apns(row: NspApns, sealing: Sealing, complain: Complain) -> ApnsConfig:
    secrets = _secrets(row, sealing, complain)
    hidden = {name: Hidden(text) for name, text in secrets.items() if text is not None}
    return ApnsConfig(row.name, **{name: getattr(row, name) for name in PLAIN}, **hidden)


def _secrets(row: NspApns, sealing: Sealing, complain: Complain) -> dict[str, str | None]:
    opened = _open(row.secrets, _apns_place(row.namespace, row.name), sealing, complain)
    return msgspec.json.decode(str(opened), type=dict[str, str | None]) if opened else {}


def _apns_place(namespace: str, name: str) -> str:
    return f"nsp_apns:{namespace}:{name}"  # a namespace has no ":"


def _open(sealed: str | None, place: str, sealing: Sealing, complain: Complain) -> Hidden | None:
    if sealed is None:
        return None
    opened = sealing.open(sealed, place)
    if opened is None:
        complain(place)
        return None
    return Hidden(opened)


def _namespace(row: Sequence[Any], sealing: Sealing, complain: Complain) -> Namespace:
    key, name, connect, disconnect, auth, digest, offline, updated = row
    return Namespace(
        key,
        name,
        connect,
        disconnect,
        _open(auth, f"nsp:{key}:callback_auth", sealing, complain),
        None if digest is None else Hidden(digest),
        bool(offline),
        updated,
    )


def _matching(query: NamespaceQuery) -> list[sa.ColumnElement[bool]]:
    meant: list[sa.ColumnElement[bool]] = []
    if query.key:
        meant.append(Nsp.namespace.contains(query.key, autoescape=True))
    if query.name:
        meant.append(Nsp.name.contains(query.name, autoescape=True))
    if query.is_offline is not None:
        meant.append(Nsp.offline == int(query.is_offline))
    return meant
