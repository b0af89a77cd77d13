"""What people read that the node itself says, in English and Chinese: `web.app.language` chooses.

    texts = Texts("zh")
    texts.say(Text.GROUP_RENAMED, who="Ann", group="Lunch")        Ann将群名称修改为“Lunch”
    texts.list(["Ann", "Bob"])                                     Ann、Bob

Parts of a text are put in as they are: who shows it, escapes it. Messages of errors are for programmers,
and English.

Source: the texts of notices are appmsgsrv's in meaning (spec/appmsgsrv.md 8.6), not in wording.
"""

import enum
from collections.abc import Sequence
from typing import Literal, TypeAlias

Language: TypeAlias = Literal["en", "zh"]

SEPARATORS: dict[Language, str] = {"en": ", ", "zh": "、"}


class Text(enum.Enum):
    """Each text in both languages, with the same parts."""

    # notices in groups (web/core/notices.py)
    GROUP_CREATED_BY_YOU = ('You created the group "{group}"', "你创建了群“{group}”")
    GROUP_RENAMED_BY_YOU = ('You renamed the group to "{group}"', "你将群名称修改为“{group}”")
    GROUP_RENAMED = ('{who} renamed the group to "{group}"', "{who}将群名称修改为“{group}”")
    ONE_INVITED_BY_YOU = ("You invited {names} to the chat", "你邀请{names}加入了群聊")
    ONE_INVITED = ("{who} invited {names} to the chat", "{who}邀请{names}加入了群聊")
    SOME_INVITED_BY_YOU = (
        "You invited {count} people to the chat: {names}",
        "你邀请{names}等{count}人加入了群聊",
    )
    SOME_INVITED = (
        "{who} invited {count} people to the chat: {names}",
        "{who}邀请{names}等{count}人加入了群聊",
    )
    YOU_WERE_INVITED = ("{who} invited you to the chat", "{who}邀请你加入了群聊")
    LEFT = ("{who} left the chat", "{who}退出了群聊")
    YOU_LEFT = ("You left the chat", "你退出了群聊")
    REMOVED_BY_YOU = ("You removed {names} from the chat", "你将{names}移出了群聊")
    REMOVED = ("{who} removed {names} from the chat", "{who}将{names}移出了群聊")
    YOU_WERE_REMOVED = ("{who} removed you from the chat", "你被{who}移出了群聊")
    DISSOLVED_BY_YOU = ("You dissolved the group", "你解散了群聊")
    DISSOLVED = ("{who} dissolved the group", "{who}解散了群聊")
    NEW_OWNER = ("{who} now owns the group", "{who}已成为新群主")
    YOU_ARE_OWNER = ("You now own the group", "你已成为新群主")
    ADMINISTRATOR = ("An administrator", "管理员")  # who acts, if it is an operator

    # the business card (web/core/card.py)
    CARD_MOBILE = ("Mobile", "手机")
    CARD_EMAIL = ("E-mail", "邮箱")
    CARD_SCAN = ("Scan to open this card", "扫一扫，打开名片")
    CARD_MISSING = ("There is no such card", "名片不存在")

    # what Apple shows of a push of light-push that has no alert (web/core/lightpush_apns.py)
    LIGHTPUSH_ALERT = ("Notification", "通知")

    def __init__(self, en: str, zh: str) -> None:
        self.en, self.zh = en, zh


class Texts:
    """The catalogue in one language."""

    def __init__(self, language: Language = "en") -> None:
        self._chinese = language == "zh"
        self._separator = SEPARATORS[language]

    def say(self, text: Text, **parts: str | int) -> str:
        """The text with its parts."""
        return (text.zh if self._chinese else text.en).format_map(parts)

    def list(self, names: Sequence[str], *, most: int = 10) -> str:
        """Several names in a row; "…" stands for those above `most`."""
        cut = ["…"] if len(names) > most else []
        return self._separator.join([*names[:most], *cut])
