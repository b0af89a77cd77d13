"""What a group's members are told of a change: who gets which text.

    event        the one who did it            who it was done to          the other members
    created      N1 You created the group      -                           -
    renamed      N2 You renamed                -                           N3 Ann renamed
    invited      N4 You invited Bob            N5 Ann invited you          N6 Ann invited Bob
    left         -                             -                           N7 Ann left
    removed      N8 You removed Bob            N10 Ann removed you         N9 Ann removed Bob
                 N11 You left, if among them
    new owner    -                             You now own the group       Bob now owns the group       (ours)
    dissolved    You dissolved the group       -                           Ann dissolved the group      (ours)

Nobody is told of what changed nothing. On the wire a notice is a message of type 51 from `<group>@qun` to each
recipient's `<uid>@user`, with the group's name as display name, to all sessions, kept as long as any.

Source: spec/appmsgsrv.md 8.6. Differences: names come from the database, not from the caller; N5 goes to those
who are new; all notices of a change are sent in one batch.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from web.core.principals import AppCaller, Operator, Principal, UserCaller
from web.core.texts import Text, Texts

NOTICE = 51  # msgType


@dataclass(frozen=True, slots=True)
class Notice:
    """One text for some users."""

    tenant_id: str  # of the group
    group_id: str
    group_name: str  # the new one, if that is what changed
    recipient_uids: tuple[str, ...]  # never empty, each once
    text: str
    acting: Principal  # for whom it is counted


class Notices(Protocol):
    """Sends notices."""

    async def send(self, notices: Sequence[Notice]) -> None:
        """All of them, in one batch. A recipient of several gets them in this order.

        Raises:
            PushError: some were not sent.
        """


@dataclass(frozen=True, slots=True)
class Scene:
    """A group after a change, and who made it."""

    tenant_id: str
    group_id: str
    group_name: str
    member_ids: Collection[str]  # after it; of a dissolved group: before it
    acting: Principal


class Announcer:
    """Writes notices in one language."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts

    def created(self, scene: Scene, owner_id: str) -> list[Notice]:
        """N1. Made for somebody by a keeper, it is his all the same."""
        text = self._texts.say(Text.GROUP_CREATED_BY_YOU, group=scene.group_name)
        return _to(scene, [owner_id], text)

    def renamed(self, scene: Scene) -> list[Notice]:
        """N2, N3."""
        return self._told(
            scene, Text.GROUP_RENAMED_BY_YOU, Text.GROUP_RENAMED, group=scene.group_name
        )

    def invited(self, scene: Scene, people: Mapping[str, str]) -> list[Notice]:
        """N4 to N6. `people`: uid -> name of those who are new."""
        if not people:
            return []
        one = len(people) == 1
        names = self._texts.list(list(people.values()))
        return [
            *self._told(
                scene,
                Text.ONE_INVITED_BY_YOU if one else Text.SOME_INVITED_BY_YOU,
                Text.ONE_INVITED if one else Text.SOME_INVITED,
                but=people,
                names=names,
                count=len(people),
            ),
            *_to(scene, people, self._texts.say(Text.YOU_WERE_INVITED, who=self._who(scene))),
        ]

    def left(self, scene: Scene) -> list[Notice]:
        """N7."""
        text = self._texts.say(Text.LEFT, who=self._who(scene))
        return _to(scene, scene.member_ids, text)

    def removed(self, scene: Scene, people: Mapping[str, str], *, left: bool) -> list[Notice]:
        """N8 to N11. `people`: uid -> name of those whom the acting one removed.

        Args:
            left: the acting one was on the list too.
        """
        notices: list[Notice] = []
        if people:
            names = self._texts.list(list(people.values()))
            notices += self._told(scene, Text.REMOVED_BY_YOU, Text.REMOVED, names=names)
            text = self._texts.say(Text.YOU_WERE_REMOVED, who=self._who(scene))
            notices += _to(scene, people, text)
        if left and isinstance(scene.acting, UserCaller):
            notices += self.left(scene)
            notices += _to(scene, [scene.acting.uid], self._texts.say(Text.YOU_LEFT))
        return notices

    def owned(self, scene: Scene, owner_id: str, owner_name: str) -> list[Notice]:
        """The group has another owner."""
        others = [uid for uid in scene.member_ids if uid != owner_id]
        return [
            *_to(scene, [owner_id], self._texts.say(Text.YOU_ARE_OWNER)),
            *_to(scene, others, self._texts.say(Text.NEW_OWNER, who=owner_name)),
        ]

    def dissolved(self, scene: Scene) -> list[Notice]:
        """The group is no more."""
        return self._told(scene, Text.DISSOLVED_BY_YOU, Text.DISSOLVED)

    def _told(
        self,
        scene: Scene,
        by_you: Text,
        by_other: Text,
        *,
        but: Collection[str] = (),
        **parts: str | int,
    ) -> list[Notice]:
        """One text for the acting member, another one for the other members except `but`."""
        acting = scene.acting.uid if isinstance(scene.acting, UserCaller) else None
        others = [uid for uid in scene.member_ids if uid != acting and uid not in but]
        you = [acting] if acting is not None and acting in scene.member_ids else []
        told = self._texts.say(by_other, who=self._who(scene), **parts)
        return [*_to(scene, you, self._texts.say(by_you, **parts)), *_to(scene, others, told)]

    def _who(self, scene: Scene) -> str:
        match scene.acting:
            case UserCaller(nickname=nickname, login=login, uid=uid):
                return nickname or login or uid
            case AppCaller(name=name, id=id_):
                return name or id_
            case Operator():
                return self._texts.say(Text.ADMINISTRATOR)


def _to(scene: Scene, uids: Iterable[str], text: str) -> list[Notice]:
    recipients = tuple(uids)
    if not recipients:
        return []
    group = (scene.tenant_id, scene.group_id, scene.group_name)
    return [Notice(*group, recipients, text, scene.acting)]
