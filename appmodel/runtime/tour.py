"""What a home node prints when it is ready: where it is, and a first push to paste.

WebSocket   ws://127.0.0.1:6968/sub
API         http://127.0.0.1:8094/v2
...
See it      http://127.0.0.1:8094/
Listen      appmsg listen u1@user
Push        curl -d '{"to":"u1@user","msg":{"text":"hello"},"ttl":"10m"}' http://127.0.0.1:8094/v2/push
Device      http://127.0.0.1:8094/mpush/
Push to it  curl 'http://127.0.0.1:2246/phone?title=hello'
Ready in 0.9 s. Ctrl-C stops.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from appmodel.runtime.service import Address

API = "web.api"  # the address with the demo page at its root, and /v2/push and /mpush/ below it
MPUSH = "web.mpush"
EXAMPLE = '{"to":"u1@user","msg":{"text":"hello"},"ttl":"10m"}'


def tour(
    addresses: Sequence[Address], seconds: float, *, appmsg: str = "appmsg", auth: bool = False
) -> str:
    """The text. Without a web node in this process only the addresses and the time.

    Args:
        appmsg: how this command is called from where the reader is.
        auth: clients need a ticket, and callers a token.
    """
    lines = [(address.name, address.url) for address in addresses]
    known = dict(lines)
    api, mpush = known.get(API), known.get(MPUSH)
    issue = f"APPMSG_AUTH__MODE=on {appmsg} token issue"
    ticket = f" --token $({issue} --key u1@user)" if auth else ""
    publish = f"{issue} --mpush --device phone --publish"
    own = f'-H "Authorization: $({publish})" ' if auth else ""
    token = f'-H "Authorization: Bearer $({issue} --scope push)" ' if auth else ""
    if api is not None:
        lines += [
            ("", ""),
            ("See it", f"{api}/"),
            ("Listen", f"{appmsg} listen u1@user{ticket}"),
            ("Push", f"curl {token}-d '{EXAMPLE}' {api}/v2/push"),
        ]
    if api is not None and mpush is not None:
        lines += [
            ("Device", f"{api}/mpush/"),
            ("Push to it", f"curl {own}'{mpush}/phone?title=hello'"),
        ]
    width = max((len(name) for name, _ in lines), default=0)
    shown = [f"{name:<{width}}  {text}".rstrip() for name, text in lines]
    return "\n".join([*shown, "", f"Ready in {seconds:.1f} s. Ctrl-C stops."])


def own_name() -> str:
    """How this command can be typed again: in an environment that is not active, by its path."""
    here = Path(sys.argv[0])
    if shutil.which(here.name) == str(here.absolute()):
        return here.name
    return min(os.path.relpath(here), str(here.absolute()), key=len)
