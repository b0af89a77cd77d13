r"""A message as version 2.2 shows it: to a device on its socket, to a web hook, to a phone.

    {"sendType":"personal","target":"test","from":{"method":"http","name":"anonymous"},
     "message":{"text":"title","desp":"content","extra":{}},"mid":"1557901952810"}

Source: spec/mpush.md 11.3 and 11.8. Ours: `priority`, `tags` and `click` beside text, desp and extra.
"""

from appmodel.core.mpush import Body, Sender, mid_of

ANYBODY = Sender("http", "anonymous")  # as V2.0 calls who does not say


def show_message(name: str, message_id: int, body: Body) -> dict[str, object]:
    """The object. `name`: the device, which is the target of what does not name one."""
    return {
        "sendType": body.send_type or "personal",
        "target": name if body.target is None else body.target,
        "from": body.sender or ANYBODY,
        "message": _show_body(body),
        "mid": mid_of(message_id),
    }


def text_of(title: str | list[str] | None) -> str:
    """A title in one text: one that was given more than once is joined, as JavaScript does it."""
    return title if isinstance(title, str) else ",".join(title or ())


def _show_body(body: Body) -> dict[str, object]:
    shown: dict[str, object] = {
        "text": text_of(body.title),
        "desp": body.content,
        "extra": body.extra or {},
    }
    if body.priority is not None:
        shown["priority"] = body.priority
    if body.tags:
        shown["tags"] = body.tags
    if body.click is not None:
        shown["click"] = body.click
    return shown
