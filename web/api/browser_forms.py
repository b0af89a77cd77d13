"""Routes of 8093 for web pages: fields of a form or a query, and an answer as a script (JSONP).

    GET /app/client/appweb/push?callbackparam=cb&baseRequest[token]=u1_...&msg[toUserName]=u2@user&...

    cb ( {"baseResponse":{"errMsg":"","ret":0},...} )\n

Without `callbackparam` the answer is plain JSON, for pages that use CORS: a token in a URL stands in logs.

Source: appmsgsrv app/ret.go; spec/appmsgsrv.md 4.6. Differences: a callback has the characters of a name only, and
the answer is declared as a script (W14); POSTed forms are read as well.
"""

from appmodel.errors import BadInput
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


def render_for_page(answer: Answer, request: Request) -> Response:
    """The envelope as the page wants it: a call of its function, or JSON.

    Raises:
        BadInput: the callback is no name.
    """
    response = render(answer)
    callback = callback_of(request, CALLBACK)
    if callback:
        assert isinstance(response.body, bytes)
        response.body = b"%b ( %b )\n" % (callback.encode(), response.body)
        response.headers[0] = JAVASCRIPT
    return response
