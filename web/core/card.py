"""The business card of a user: a small HTML page with a QR code of its own address.

Whatever a user is called, it is text here: everything is escaped, and the page's policy lets nothing run.

Source: appmsgsrv view/erweima.html; spec/appmsgsrv.md 4.6 (49). Differences: there nothing is escaped (W14), the e-mail
address is never loaded, and the QR code is made elsewhere.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from string import Template
from urllib.parse import quote

import segno

from web.core.texts import Language, Text, Texts

PATH = "/app/user/erweima"
STYLE = "/app/static/card.css"
POLICY = "; ".join(
    [
        "default-src 'none'",
        "style-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}")

_PAGE = Template("""\
<!doctype html>
<html lang="$language">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>$title</title>
<link rel="stylesheet" href="$style">
</head>
<body>
<main>
<h1>$title</h1>
$rest
</main>
</body>
</html>
""")


def card_page(name: str, lines: Sequence[tuple[Text, str]], url: str, language: Language) -> bytes:
    """The card.

    Args:
        lines: what is shown beside the name; empty values are left out.
        url: of the page, for its QR code; empty: without one.
    """
    texts = Texts(language)
    shown = [
        f"<dt>{escape(texts.say(label))}</dt><dd>{escape(value)}</dd>"
        for label, value in lines
        if value
    ]
    rest = "\n".join(["<dl>", *shown, "</dl>"]) if shown else ""
    if url:
        caption = escape(texts.say(Text.CARD_SCAN))
        rest += f"\n<figure>{_code(url)}<figcaption>{caption}</figcaption></figure>"
    return _page(name, rest, language)


def notice_page(text: str, language: Language) -> bytes:
    """What is shown in place of a card."""
    return _page(text, "", language)


def card_url(base: str, scheme: str, host: str, uid: str) -> str:
    """Where the card is.

    Args:
        base: as configured, "https://push.example.com"; empty: as the page was asked for.
        host: the Host header, which anybody writes as he likes; nonsense gives no address.
    """
    if not base and not _HOST.fullmatch(host):
        return ""
    return f"{base.rstrip('/') or f'{scheme}://{host}'}{PATH}?id={quote(uid, safe='')}"


def _page(title: str, rest: str, language: Language) -> bytes:
    page = _PAGE.substitute(language=language, title=escape(title), style=STYLE, rest=rest)
    return page.encode()


@lru_cache(maxsize=512)
def _code(url: str) -> str:
    """As SVG. Takes 7 ms."""
    code = segno.make(url, error="m", micro=False)
    svg: str = code.svg_inline(omitsize=True, border=2, svgclass=None, lineclass=None)
    return svg
