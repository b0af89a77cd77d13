"""The answers of the gopush REST: status 200, a `ret` code, and JSONP where a page asks for it.

    HTTP/1.1 200 OK
    Content-Type: application/json;charset=utf-8

    {"ret":65534}

The original says only that much. We add the reason in a header, where old clients do not look:

    X-Appmsg-Error: expire: got 'soon', expected 0 to 4294967295 seconds

Source: gopush-cluster web/http.go; spec/gopush.md 2.1 and 2.2. Differences: a callback has the
characters of a name only (S9), and answers say `nosniff` so that no browser takes them for a page.
"""

from appmodel.errors import BadInput, PushError
from appmodel.protocol.envelope import CALLBACK, jsonp, reply
from appmodel.protocol.http import Request, Response

JSON = ("Content-Type", "application/json;charset=utf-8")
JAVASCRIPT = ("Content-Type", "application/javascript;charset=utf-8")
NOSNIFF = ("X-Content-Type-Options", "nosniff")
OK = reply()


def answer(text: bytes, *, callback: str = "") -> Response:
    """`text` as a whole answer."""
    if callback:
        return Response(headers=[JAVASCRIPT, NOSNIFF], body=jsonp(callback, text))
    return Response(headers=[JSON, NOSNIFF], body=text)


def refusal(error: PushError, *, callback: str = "", msg: str | None = None) -> Response:
    """The answer to a request that was refused."""
    response = answer(reply(error.ret, msg=msg), callback=callback)
    response.headers.append(("X-Appmsg-Error", header_text(str(error))))
    return response


def callback_of(request: Request, parameter: str) -> str:
    """The name of the page's function; empty if the page wants plain JSON.

    Raises:
        BadInput: it is no name.
    """
    callback = request.query.get(parameter, "")
    if callback and not CALLBACK.fullmatch(callback):
        raise BadInput(parameter, callback, "1 to 128 letters, digits, '_', '.' or '$'")
    return callback


def header_text(text: str) -> str:
    """`text` as it may stand in a header: printable ASCII."""
    shown = "".join(c if c.isprintable() else " " for c in text[:300])
    return shown.encode("ascii", "backslashreplace").decode()
