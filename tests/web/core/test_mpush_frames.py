"""The frames of version 2.2, byte for byte (11.3 of the reference)."""

from appmodel.core.mpush_keys import PublicKeys
from web.core.mpush_frames import REFUSED, admitted, info, reply
from web.core.mpush_states import Fate, State


def test_frames_byte_for_byte() -> None:
    """The newest mid speaks for all; who is away is `ready`, who says nothing `wait`."""
    fates = {"a": Fate(State.OK, "155"), "b": Fate(State.OFFLINE, "156"), "c": Fate(State.ONLINE)}

    assert reply(fates) == (
        b'{"cmd":"MESSAGE_REPLY","data":{"mid":"156","status":{"a":"ok","b":"ready","c":"wait"}}}'
    )
    assert reply({"a": Fate(State.NO)}) == (
        b'{"cmd":"MESSAGE_REPLY","data":{"mid":"","status":{"a":"no"}}}'
    )
    assert reply({}) == b'{"cmd":"MESSAGE_REPLY","data":{"mid":"","status":{}}}'
    assert info("ok") == b'{"cmd":"INFO","data":"ok"}'
    assert REFUSED == b'{"cmd":"AUTH","data":{"code":403,"msg":"Token invalid"}}'
    assert admitted("J", PublicKeys()) == (
        b'{"cmd":"AUTH","data":{"code":200,"auth":"J","msg":"Successful authentication",'
        b'"fcmProjectId":"","fcmApplicationId":"","fcmApiKey":""}}'
    )
    assert admitted("J", PublicKeys("B", "p", "a", "k")) == (
        b'{"cmd":"AUTH","data":{"code":200,"auth":"J","msg":"Successful authentication",'
        b'"webpushPublicKey":"B","fcmProjectId":"p","fcmApplicationId":"a","fcmApiKey":"k"}}'
    )
