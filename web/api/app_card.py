"""The business card behind a user's QR code, for everybody who has its link; and its style.

    GET /app/user/erweima?id=u1       an HTML page; 404, as a page too, if there is no such user
    GET /app/static/card.css          nothing else is under /app/static/, and there is no listing

What it shows is configured in [web.card]; how often one address may read cards, too: ids can be guessed.

Source: appmsgsrv app/org.go; spec/appmsgsrv.md 4.1 (11, 49).
"""

from collections.abc import Sequence

import trio

from appmodel.core.addresses import Addresses
from appmodel.core.people import Person
from appmodel.core.throttle import Throttle
from appmodel.errors import BadInput, PushError
from appmodel.io.database import Database
from appmodel.orm.people_queries import find_enabled
from appmodel.protocol.http import Request, Response, Route
from web.api.app_frame import ANY_METHOD
from web.api.pages import STATIC, page_route
from web.config import CardConfig
from web.core.card import PATH, POLICY, STYLE, card_page, card_url, notice_page
from web.core.fields import known_id
from web.core.texts import Language, Text, Texts

WINDOW = 60.0  # seconds of [web.card] reads
REMEMBERED = 10_000  # addresses whose reads are counted
LABELS = {"mobile": Text.CARD_MOBILE, "email": Text.CARD_EMAIL}
HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)


class AppCard:
    """The handlers."""

    def __init__(
        self, database: Database, config: CardConfig, addresses: Addresses, language: Language
    ) -> None:
        self._database, self._config = database, config
        self._addresses, self._language = addresses, language
        self._reads = Throttle(config.reads, WINDOW, capacity=REMEMBERED)

    def routes(self) -> list[Route]:
        """None, if cards are switched off."""
        if not self._config.enabled:
            return []
        style = page_route(STYLE, STATIC / "card.css")
        return [style, *(Route(method=m, path=PATH, handler=self.get_card) for m in ANY_METHOD)]

    async def get_card(self, request: Request) -> Response:
        """49"""
        try:
            self._reads.take(self._addresses.origin_of(request), trio.current_time(), what="card")
            person = await self._person(request.query.get("id", ""))
        except PushError as error:
            return _page(notice_page(str(error), self._language), error.status)
        if person is None:
            missing = Texts(self._language).say(Text.CARD_MISSING)
            return _page(notice_page(missing, self._language), 404)
        scheme, host = "https" if request.secure else "http", request.headers.get("host", "")
        url = card_url(self._config.url, scheme, host, person.uid)
        return _page(card_page(person.nickname, self._lines(person), url, self._language), 200)

    async def _person(self, uid: str) -> Person | None:
        try:
            known_id("id", uid)
        except BadInput:
            return None
        return await self._database.read(lambda session: find_enabled(session, uid))

    def _lines(self, person: Person) -> Sequence[tuple[Text, str]]:
        return [(LABELS[field], getattr(person, field)) for field in self._config.show]


def _page(body: bytes, status: int) -> Response:
    return Response(status=status, headers=list(HEADERS), body=body)
