"""A push as light-push shows it: a hash of texts, as the original keeps it in Redis.

    {"namespace":"/demo","room":"r1","pushData":"{\\"a\\":1}","expire":"0.5","id":"17","sendDate":"1793233999000",
     "ackCount":"0","ackIOSCount":"0","ackAndroidCount":"0","onlineClientCount":"2","leaveMessage":"true"}

What is not set is not there. Source: spec/liutian-push.md 6.2.
"""

from appmodel.core.lightpush_records import StoredPush


def push_texts(push: StoredPush) -> dict[str, str]:
    """A push, and what became of it so far."""
    draft = push.draft
    always: dict[str, object] = {
        "namespace": draft.namespace,
        "room": draft.room,
        "pushData": draft.push_data,
        "expire": f"{draft.expire:.15g}",
        "id": push.id,
        "sendDate": draft.send_date,
        "ackCount": push.acks,
        "ackIOSCount": push.ios_acks,
        "ackAndroidCount": push.android_acks,
        "onlineClientCount": push.online_clients,
    }
    sometimes: dict[str, object] = {
        "except": draft.without,
        "apnsName": draft.apns_name,
        "leaveMessage": "true" if draft.leave_message else None,
        "extra": draft.extra,
        "from": draft.sender,
        "apnsCount": push.apns_count,
        "apnsSuccessCount": push.apns_success_count,
        "result": push.result,
    }
    shown = always | {name: value for name, value in sometimes.items() if value is not None}
    return {name: str(value) for name, value in shown.items()}
