r"""What version 2.2 is answered over HTTP.

    {"cmd":"MESSAGE_REPLY","data":{"mid":"155...","status":{"test":"ok"}}}
    {"cmd":"AUTH","data":{"code":200,"auth":JWT,"msg":"Successful authentication","fcmProjectId":"",...}}
    {"cmd":"AUTH","data":{"code":403,"msg":"Token invalid"}}
    {"cmd":"INFO","data":"mid property is required"}

What it says is read by appmodel/core/mpush_commands.py. Source: spec/mpush.md 11.3 and 11.5.
"""

from collections.abc import Mapping

import msgspec

from appmodel.core.mpush_keys import PublicKeys
from web.core.mpush_states import Fate

REFUSED = b'{"cmd":"AUTH","data":{"code":403,"msg":"Token invalid"}}'

_encode = msgspec.json.Encoder().encode


def reply(fates: Mapping[str, Fate]) -> bytes:
    """What became of a push. Its one `mid` is the newest: members' may differ on a cluster; "" = nothing was pushed."""
    status = {name: fate.word_2 for name, fate in fates.items()}
    mid = max((fate.mid for fate in fates.values()), default="")
    return _encode({"cmd": "MESSAGE_REPLY", "data": {"mid": mid, "status": status}})


def admitted(auth: str, keys: PublicKeys) -> bytes:
    """Logged in. `auth`: what proves the next calls."""
    data = {"code": 200, "auth": auth, "msg": "Successful authentication", **keys.told()}
    return _encode({"cmd": "AUTH", "data": data})


def info(text: str) -> bytes:
    """An error, or a word that something was done."""
    return _encode({"cmd": "INFO", "data": text})
