"""Keys of Mpush that are made once and kept: who comes first makes them, all others use his."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appmodel.core.sealing import Sealing
from appmodel.orm.leases import lock
from appmodel.orm.mpush import MpushKey

LOCK = "mpush:keys"  # held by who may make one


def find_key(session: Session, name: str, sealing: Sealing) -> str | None:
    """Its private part; None: it is not there, or sealed by another auth.secret."""
    sealed = session.scalar(sa.select(MpushKey.secret).where(MpushKey.name == name))
    return None if sealed is None else sealing.open(sealed, _place(name))


def keep_key(session: Session, name: str, secret: str, sealing: Sealing) -> tuple[str, bool]:
    """The key that counts, which is `secret` unless somebody was faster; and whether it replaces one that
    nobody can open any more.
    """
    lock(session, LOCK)
    known = find_key(session, name, sealing)
    if known is not None:
        return known, False
    row = session.get(MpushKey, name)
    session.merge(MpushKey(name=name, secret=sealing.seal(secret, _place(name))))
    return secret, row is not None


def _place(name: str) -> str:
    return f"mpush_key:{name}"
