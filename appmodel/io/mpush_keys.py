"""The keys of Mpush, in the application's database: made by the node that first needs them, used by all.

    mpush_key    vapid    1.<sealed by auth.secret>      see appmodel/orm/mpush.py

With another auth.secret the pair cannot be opened. Then a new one is made, and browsers subscribe for it when
their page next logs in: what they had is void. Kept by this process once it is read.
"""

import structlog
import trio
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy.orm import Session

from appmodel.core.mpush_keys import PublicKeys, make_vapid, open_vapid, public_text
from appmodel.core.sealing import Sealing
from appmodel.io.database import Database
from appmodel.orm.mpush_key_queries import find_key, keep_key

VAPID = "vapid"

log = structlog.get_logger(__name__)


class SqlKeys:
    """See MpushKeys."""

    def __init__(
        self, database: Database, sealing: Sealing, fcm: PublicKeys, *, webpush: bool
    ) -> None:
        """
        Args:
            fcm: what devices are told of FCM.
            webpush: whether they are told a key for Web Push.
        """
        self._database, self._sealing = database, sealing
        self._fcm, self._webpush = fcm, webpush
        self._turn = trio.Lock()
        self._vapid: ec.EllipticCurvePrivateKey | None = None

    async def public(self) -> PublicKeys:
        """See MpushKeys."""
        fcm = self._fcm
        webpush = public_text(await self.vapid()) if self._webpush else ""
        return PublicKeys(webpush, fcm.fcm_project, fcm.fcm_application, fcm.fcm_api_key)

    async def vapid(self) -> ec.EllipticCurvePrivateKey:
        """See MpushKeys."""
        async with self._turn:  # who come first together ask once
            if self._vapid is None:
                self._vapid = open_vapid(await self._read())
            return self._vapid

    async def _read(self) -> str:
        known = await self._database.read(lambda session: find_key(session, VAPID, self._sealing))
        return await self._database.write(self._make) if known is None else known

    def _make(self, session: Session) -> str:
        secret, is_other = keep_key(session, VAPID, make_vapid(), self._sealing)
        if is_other:
            log.warning("made a new key for Web Push: the old one is of another auth.secret")
        return secret
