"""Who calls the light-push REST, and how often somebody may be wrong about it.

    asked for                 has                                                    else
    /api/auth/...             the key of a namespace, and its password               400, 401
    /api/admin/...            web.lightpush.admin_name and admin_password            401

Passwords are compared in constant time. A namespace without one lets nobody in, and neither does "/", which
only holds configuration. Wrong tries are counted for each name at each address, and for each address; above
the limit all who have not yet proved themselves from there get 429, right or wrong. Who has is let in as
ever: a back end that still uses an old password does not lock out the others behind the same address.

Source: spec/liutian-push.md 5.1, W5 and W7.
"""

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import sha256
from time import monotonic

from appmodel.core.addresses import Addresses
from appmodel.core.lightpush import DEFAULTS, is_namespace
from appmodel.core.lightpush_records import Hidden, Namespace
from appmodel.core.origins import Origins
from appmodel.core.throttle import Throttle
from appmodel.errors import LimitReached
from appmodel.protocol.http import Request
from web.config import WELL_KNOWN, LightpushConfig
from web.core.lightpush_wire import Credential, Spoken, credential

FindNamespace = Callable[[str], Awaitable[Namespace | None]]
HasPassword = Callable[[Namespace, str], bool]
"""Whether the text is the password of the namespace, in constant time."""


class LightpushAccess:
    """The doorkeeper of the listener."""

    def __init__(
        self,
        find: FindNamespace,
        has_password: HasPassword,
        addresses: Addresses,
        origins: Origins,
        config: LightpushConfig,
    ) -> None:
        """`origins`: who may call with the administrator's well-known password."""
        self._find, self._has_password = find, has_password
        self._addresses, self._origins = addresses, origins
        self._admin = Credential(config.admin_name, Hidden(config.admin_password))
        limits = (config.tries, config.address_tries)
        self._throttles = [
            Throttle(limit, config.window, capacity=config.remembered) for limit in limits
        ]
        self._proven: OrderedDict[str, bytes] = OrderedDict()  # who at which address, and by what
        self._passed: OrderedDict[bytes, Namespace] = OrderedDict()  # by what they said, and where
        self._most_proven = config.remembered
        self._salt = secrets.token_bytes(16)

    async def namespace(self, request: Request) -> str:
        """See Doorkeeper. Who has passed before is known by one digest, as long as the record is the same one."""
        mark = self._mark(request)
        record = self._passed.get(mark)
        if record is not None and await self._find(record.key) is record:
            return record.key
        found = await self._prove(request)
        self._passed[mark] = found
        if len(self._passed) > self._most_proven:
            self._passed.popitem(last=False)
        return found.key

    async def _prove(self, request: Request) -> Namespace:
        said = credential(request.headers.get("authorization"))
        address = self._addresses.origin_of(request)
        self._check(address, said)
        found = None
        if is_namespace(said.name) and said.name != DEFAULTS:
            found = await self._find(said.name)
        is_right = found is not None and self._has_password(found, said.password)
        self._admit(address, said, is_right=is_right)
        if found is None:
            raise Spoken(400, "namespace not found")
        if not is_right:
            raise Spoken(401, "passwd error")
        return found

    def admin(self, request: Request) -> None:
        """See Doorkeeper."""
        said = credential(request.headers.get("authorization"))
        if self._admin.password == WELL_KNOWN:
            self._origins.check(request.headers)
        is_right = _are_equal(said, self._admin) and self._admin.password != ""
        mine = said._replace(name=f"admin {said.name}")  # no namespace is called so
        self._admit(self._addresses.origin_of(request), mine, is_right=is_right)
        if not is_right:
            raise Spoken(401, "auth error")

    def _check(self, address: str, said: Credential) -> None:
        """Before anything is looked up: whether there is a try left."""
        if not self._is_proven(address, said):
            self._take(address, said)
            self._give_back(address, said)

    def _admit(self, address: str, said: Credential, *, is_right: bool) -> None:
        """Count a try. Raises LimitReached, whatever it was."""
        if is_right and self._is_proven(address, said):
            return
        self._take(address, said)
        if is_right:
            self._give_back(address, said)
            who = _who(address, said)
            self._proven[who] = self._proof(said)
            self._proven.move_to_end(who)
            if len(self._proven) > self._most_proven:
                self._proven.popitem(last=False)

    def _take(self, address: str, said: Credential) -> None:
        by_name, by_address = self._throttles
        now = monotonic()
        by_name.take(_who(address, said), now, what="authorization")
        try:
            by_address.take(address, now, what="authorization")
        except LimitReached:
            by_name.give_back(_who(address, said), now)
            raise

    def _give_back(self, address: str, said: Credential) -> None:
        by_name, by_address = self._throttles
        now = monotonic()
        by_name.give_back(_who(address, said), now)
        by_address.give_back(address, now)

    def _is_proven(self, address: str, said: Credential) -> bool:
        known = self._proven.get(_who(address, said))
        return known is not None and hmac.compare_digest(known, self._proof(said))

    def _mark(self, request: Request) -> bytes:
        headers = request.headers
        parts = (headers.get("authorization", ""), request.peer, headers.get("x-forwarded-for", ""))
        return hmac.digest(self._salt, "\0".join(parts).encode("utf-8", "surrogatepass"), "sha256")

    def _proof(self, said: Credential) -> bytes:
        return hmac.digest(self._salt, _bytes(said.password), "sha256")


def _who(address: str, said: Credential) -> str:
    return f"{address} {said.name[:100]}"


def _are_equal(one: Credential, other: Credential) -> bool:
    """In constant time, whatever their lengths. No name holds a ":"."""
    digests = [sha256(_bytes(":".join(each))).digest() for each in (one, other)]
    return hmac.compare_digest(*digests)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
