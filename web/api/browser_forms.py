"""Routes of 8093 for web pages: fields of a form or a query, and an answer as a script (JSONP).

    GET /app/client/appweb/push?callbackparam=cb&baseRequest[token]=u1_...&msg[toUserName]=u2@user&...

    cb ( {"baseResponse":{"errMsg":"","ret":0},...} )\n

Without `callbackparam` the answer is plain JSON, for pages that use CORS: a token in a URL stands in logs.

Source: appmsgsrv app/ret.go; spec/appmsgsrv.md 4.6. Differences: a callback has the characters of a name only, and
the answer is declared as a script (W14); POSTed forms are read as well; pages of other sites are refused
unless they are among the listener's origins.
"""

from collections.abc import Awaitable, Callable

from appmodel.core.origins import Origins
from appmodel.errors import BadInput, PushError
from appmodel.protocol.http import Request, Response, first_values
from web.api.app_frame import Answer, render
from web.api.replies import JAVASCRIPT, callback_of

CALLBACK = "callbackparam"


def fields_of(request: Request) -> dict[str, str]:
    """What the page sends, the body's fields before the query's.

    Raises:
        BadInput: not UTF-8, or too many fields.
    """
    fields = dict(request.query)
    if request.body:
        try:
            text = request.body.decode()
        except UnicodeDecodeError:
            raise BadInput("body", request.body[:40], "a form in UTF-8") from None
        fields |= first_values(text, "body")
    return fields


def required(fields: dict[str, str], name: str) -> str:
    """A field that must be there. Raises BadInput if it is not."""
    try:
        return fields[name]
    except KeyError:
        raise BadInput(name, None, "a value") from None


async def answer_page(
    request: Request, origins: Origins, work: Callable[[Request], Awaitable[Answer]]
) -> Response:
    """What `work` answers, or its refusal, as the page wants it.

    Raises:
        BadInput: the callback is no name; nothing was done.
    """
    callback = callback_of(request, CALLBACK)
    try:
        origins.check(request.headers)
        answer = await work(request)
    except PushError as error:
        answer = Answer(error=error)
    response = _render(answer, callback)
    response.headers += origins.cors(request.headers)
    return response


def _render(answer: Answer, callback: str) -> Response:
    """The envelope as a call of the page's function, or as JSON."""
    response = render(answer)
    if callback:
        assert isinstance(response.body, bytes)
        response.body = b"%b ( %b )\n" % (callback.encode(), response.body)
        response.headers[0] = JAVASCRIPT
    return response
