"""Pages and scripts for people: the demo at /, the API's description at /v2/docs, the page of Mpush at /mpush/.

Files of web/static are read once, at start. They load nothing from elsewhere, and the headers see to
it that nothing else could be loaded, run or framed. A browser keeps them and asks whether they changed.
"""

import mimetypes
from functools import partial
from hashlib import sha256
from pathlib import Path

import msgspec

from appmodel.protocol.http import Request, Response, Route

STATIC = Path(__file__).parent.parent / "static"
NAMES = {
    "index.html": "/",
    "appmsg.js": "/appmsg.js",
    "docs.html": "/v2/docs",
}  # beside /static/...
MPUSH = "mpush/"  # a folder with a place of its own: its service worker reaches what is below it
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self' ws: wss:",  # comets are on other ports, and on other hosts
        "manifest-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = [
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cache-Control", "no-cache"),
]


class Page(msgspec.Struct, frozen=True):
    """A file as it is served."""

    body: bytes
    content_type: str
    etag: str


def page_routes(folder: Path = STATIC) -> list[Route]:
    """A route for each file in `folder`, and for those with a name of their own."""
    routes: list[Route] = []
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        name = path.relative_to(folder).as_posix()
        handler = partial(_serve, _read(path))
        routes += [Route(method="GET", path=at, handler=handler) for at in _places(name)]
    if (folder / MPUSH).is_dir():
        routes.append(Route(method="GET", path=f"/{MPUSH.rstrip('/')}", handler=_to_mpush))
    return routes


def _places(name: str) -> list[str]:
    if name.startswith(MPUSH):
        return [f"/{name.removesuffix('index.html')}"]
    return [f"/static/{name}"] + ([NAMES[name]] if name in NAMES else [])


def page_route(at: str, path: Path) -> Route:
    """One file at a place of its own."""
    return Route(method="GET", path=at, handler=partial(_serve, _read(path)))


def _read(path: Path) -> Page:
    body = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if kind.startswith("text/") or kind.endswith(("javascript", "json", "svg+xml")):
        kind += "; charset=utf-8"
    return Page(body, kind, f'"{sha256(body).hexdigest()[:20]}"')


async def _to_mpush(request: Request) -> Response:
    return Response(status=308, headers=[*HEADERS, ("Location", MPUSH)])  # behind a prefix, too


async def _serve(page: Page, request: Request) -> Response:
    headers = [*HEADERS, ("ETag", page.etag)]
    if request.headers.get("if-none-match") == page.etag:
        return Response(status=304, headers=headers)
    return Response(headers=[("Content-Type", page.content_type), *headers], body=page.body)
