r"""The JSON that clients and callers see, byte for byte as the originals write it.

    new envelope   {"msg":{"test":1},"mid":1399647493834619,"gid":0}         `ver` not empty
    live           {"msg":{"test":1},"mid":1399647493834619,"gid":0,"live":true}    version 2, not stored
    old envelope   {"msg":"{\"test\":1}","mid":1399647493834619,"gid":0}     `ver` empty
    reply          {"data":{...},"ret":0}      members in alphabetical order
    JSONP          callback({"ret":0})

The new envelope embeds the pushed JSON without insignificant white space; the old one holds its
text, as pushed, in a string. Like Go's encoder both write `<`, `>`, `&`, U+2028 and U+2029 as
\u escapes and leave other characters as UTF-8.

Source: gopush-cluster comet/conn.go, web/http.go; spec/gopush.md sections 1.6 and 2.1.
"""

import re
from typing import Any

import msgspec

from appmodel.errors import BadInput

MAX_DEPTH = 128  # nested arrays and objects; ours: every node must be able to parse it again
CALLBACK = re.compile(r"[A-Za-z0-9_.$]{1,128}")  # S9: the original echoes anything


def checked_json(raw: bytes, field: str) -> bytes:
    """`raw` itself, if it is JSON text that every node and client can read.

    Raises:
        BadInput: empty, not JSON, not UTF-8, or nested deeper than MAX_DEPTH.
    """
    try:
        msgspec.json.decode(raw)
    except RecursionError:
        raise BadInput(field, _start(raw), f"at most {MAX_DEPTH} nested levels") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(field, _start(raw), f"JSON text ({error})") from None
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _depth(raw) > MAX_DEPTH:
        raise BadInput(field, _start(raw), f"at most {MAX_DEPTH} nested levels")
    return raw


def new_envelope(message_id: int, body: bytes) -> bytes:
    """The message with its JSON embedded."""
    return b'{"msg":%b,"mid":%d,"gid":0}' % (compact(body), message_id)


def live_envelope(message_id: int, body: bytes) -> bytes:
    """The same for a message that is not stored: no client of version 2 resumes from its id."""
    return b'{"msg":%b,"mid":%d,"gid":0,"live":true}' % (compact(body), message_id)


def old_envelope(message_id: int, body: bytes) -> bytes:
    """The message with its JSON as a string."""
    text = escape(msgspec.json.encode(body.decode()))
    return b'{"msg":%b,"mid":%d,"gid":0}' % (text, message_id)


def compact(body: bytes) -> bytes:
    """Checked JSON without insignificant white space; numbers and strings keep their spelling."""
    return escape(msgspec.json.format(body, indent=-1))


def escape(text: bytes) -> bytes:
    """JSON that is harmless inside HTML and JavaScript. These five occur inside strings only."""
    if b"<" in text or b">" in text or b"&" in text:
        text = text.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026")
    if b"\xe2\x80" in text:
        text = text.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return text


def reply(ret: int = 0, data: Any = None, *, msg: str | None = None) -> bytes:
    """A REST answer: `data` only if there is something and ret is 0; `msg` on the old paths."""
    fields: dict[str, Any] = {}
    if data is not None and ret == 0:
        fields["data"] = data
    if msg is not None:
        fields["msg"] = msg
    fields["ret"] = ret
    return escape(msgspec.json.encode(fields))


def jsonp(callback: str, text: bytes) -> bytes:
    """`text` as a call of the page's function.

    Raises:
        BadInput: the name has other characters than letters, digits, `_`, `.` and `$`.
    """
    if not CALLBACK.fullmatch(callback):
        raise BadInput("callback", callback, "1 to 128 letters, digits, '_', '.' or '$'")
    return b"%b(%b)" % (callback.encode(), text)


def _depth(text: bytes) -> int:
    depth = deepest = 0
    in_string = False
    skip = False
    for char in text:
        if skip:
            skip = False
        elif in_string:
            skip = char == 0x5C  # a backslash: the next character is not the end
            in_string = char != 0x22
        elif char == 0x22:
            in_string = True
        elif char in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in b"]}":
            depth -= 1
    return deepest


def _start(raw: bytes) -> str:
    return raw[:80].decode(errors="replace")
