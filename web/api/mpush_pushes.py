r"""Pushing by a path: the word of the seed, the states of version 2.2, and more for who asks for JSON.

    GET  /test?title=hello                    ok\n           X-Mpush-Mid: 1557901952810
    POST /test          backup done           offline\n
    PUT  /a,b           title=t&content=c     {"a":"ok","b":"offline"}
    GET  /test.send?text=t&desp=d&url=u       {"cmd":"MESSAGE_REPLY","data":{"mid":"155...","status":{"test":"ok"}}}
    GET  /team.group?text=t                   the same, with a state for each member
    GET  /test?title=t&delay=10m              delayed 6f1e...\n        the id takes it back

    Accept: application/json                  {"state":"ok","mid":"155..."}, for several {"a":{"state":...},...}

Source: spec/mpush.md 7.2, 11.5; V2.0's forms at .send are taken too. Several devices in one call and delays are ours.
"""

from collections.abc import Mapping, Sequence

import msgspec

from appmodel.core.mpush import Body, Sender
from appmodel.core.mpush_tokens import Right, as_group
from appmodel.errors import BadInput
from appmodel.protocol.http import Response
from web.api.mpush_frame import JSON, TEXT, Call, confirm
from web.config import MpushConfig
from web.core.mpush_drafts import encode_body, read_draft, read_draft_2
from web.core.mpush_frames import reply
from web.core.mpush_states import Fate, State
from web.services.mpush_pushing import Meant, MpushPushing, Patience

ANONYMOUS = "anonymous"  # in version 2.2, who pushes without a name

_encode = msgspec.json.Encoder().encode


class MpushPushes:
    """The part that pushes."""

    def __init__(self, pushing: MpushPushing, config: MpushConfig, *, max_message: int) -> None:
        """`max_message`: bytes of a message."""
        self._pushing, self._config, self._max_message = pushing, config, max_message
        self._end = "\n" if config.line_feed else ""
        self._patience = Patience(config.wait)
        self._patience_2 = Patience(config.reply_wait, for_absent=True)

    async def push(self, call: Call) -> Response:
        """Of any path that wants nothing else."""
        grant = call.grant(Right.PUBLISH)  # before anybody learns which devices there are
        targets = await self._pushing.meant(call.aim)
        confirm(grant, Right.PUBLISH, map(token_name, targets))
        if call.aim.is_version_2:
            draft = read_draft_2(call.fields, now=self._pushing.now())
            sender = Sender("http", grant.subject or ANONYMOUS)
            told = _told(targets, draft.body, sender)
            if draft.due is None:
                return await self.push_2(targets, told)
            body = encode_body(told, self._max_message)
            return await self._delay(call, targets, body, draft.due)
        draft = read_draft(call.fields, unknown=self._config.unknown, now=self._pushing.now())
        body = encode_body(draft.body, self._max_message)
        if draft.due is not None:
            return await self._delay(call, targets, body, draft.due)
        fates = await self._pushing.push(targets, body, self._patience)
        if len(targets) > 1 or targets[0].is_group:
            return self._several(call, fates)
        [fate] = fates.values()
        return self._word(call, fate)

    async def push_2(self, targets: Sequence[Meant], body: Body) -> Response:
        """The answer of version 2.2. Raises PushError."""
        written = encode_body(body, self._max_message)
        fates = await self._pushing.push(targets, written, self._patience_2)
        return Response(headers=[JSON], body=reply(fates))

    async def _delay(
        self, call: Call, targets: Sequence[Meant], body: bytes, due: float
    ) -> Response:
        if due > self._pushing.now() + self._config.max_delay:
            field = "delay" if call.fields.get("delay") else "at"
            expected = f"at most {self._config.max_delay:.0f} seconds from now"
            raise BadInput(field, call.fields[field], expected)
        if not any(each.exists for each in targets):
            return self._word(call, Fate(State.NO))
        delayed_id = await self._pushing.delay(targets, body, due)
        if call.wants_json:
            missing = [each.name for each in targets if not each.exists]
            shown = {"state": "delayed", "id": delayed_id, "due": round(due), "no": missing}
            return Response(headers=[JSON], body=_encode(shown))
        return Response(headers=[TEXT], body=f"delayed {delayed_id}{self._end}".encode())

    def _word(self, call: Call, fate: Fate) -> Response:
        headers = [("X-Mpush-Mid", fate.mid)] if fate.mid else []
        if call.wants_json:
            return Response(headers=[JSON, *headers], body=_encode(_shown(fate)))
        return Response(headers=[TEXT, *headers], body=f"{fate.state.word}{self._end}".encode())

    def _several(self, call: Call, fates: Mapping[str, Fate]) -> Response:
        if call.wants_json:
            body = _encode({name: _shown(fate) for name, fate in fates.items()})
        else:
            body = _encode({name: fate.state.word for name, fate in fates.items()})
        return Response(headers=[JSON], body=body + self._end.encode())


def _told(targets: Sequence[Meant], body: Body, sender: Sender) -> Body:
    """With whom it is from, and for, as version 2.2 shows it."""
    is_group = any(each.is_group for each in targets)
    return msgspec.structs.replace(
        body,
        sender=sender,
        send_type="group" if is_group else "personal",
        target=",".join(each.name for each in targets),
    )


def token_name(target: Meant) -> str:
    """How tokens name it."""
    return as_group(target.name) if target.is_group else target.name


def _shown(fate: Fate) -> dict[str, str]:
    return {"state": fate.state.word} | ({"mid": fate.mid} if fate.mid else {})
