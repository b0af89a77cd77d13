"""Who is told what of a change: N1 to N11 of the specification, and what we add."""

from appmodel.core.credentials import Caller
from tests.web.group_people import told, user
from web.core.notices import Announcer, Scene
from web.core.principals import AppCaller, Operator, Principal
from web.core.texts import Texts

ENGLISH = Announcer(Texts("en"))
CHINESE = Announcer(Texts("zh"))


def scene(*members: str, by: Principal | None = None) -> Scene:
    return Scene("t1", "g1", "Lunch", members, by or user("ann"))


def test_n1_created() -> None:
    """To the creator alone."""
    assert told(ENGLISH.created(scene("ann", "bob"), "ann")) == {
        "ann": ['You created the group "Lunch"']
    }
    assert told(CHINESE.created(scene("ann"), "ann")) == {"ann": ["你创建了群“Lunch”"]}


def test_n2_n3_renamed() -> None:
    """To the caller, and to each other member."""
    assert told(ENGLISH.renamed(scene("ann", "bob", "cyd"))) == {
        "ann": ['You renamed the group to "Lunch"'],
        "bob": ['Ann renamed the group to "Lunch"'],
        "cyd": ['Ann renamed the group to "Lunch"'],
    }
    assert told(CHINESE.renamed(scene("bob"))) == {"bob": ["Ann将群名称修改为“Lunch”"]}


def test_n4_n5_n6_invited() -> None:
    """The caller, those who are new, and the others each get their own text."""
    two = {"cyd": "Cyd", "dan": "Dan"}
    people = scene("ann", "bob", "cyd", "dan")

    assert told(ENGLISH.invited(people, two)) == {
        "ann": ["You invited 2 people to the chat: Cyd, Dan"],
        "bob": ["Ann invited 2 people to the chat: Cyd, Dan"],
        "cyd": ["Ann invited you to the chat"],
        "dan": ["Ann invited you to the chat"],
    }
    assert told(CHINESE.invited(people, two)) == {
        "ann": ["你邀请Cyd、Dan等2人加入了群聊"],
        "bob": ["Ann邀请Cyd、Dan等2人加入了群聊"],
        "cyd": ["Ann邀请你加入了群聊"],
        "dan": ["Ann邀请你加入了群聊"],
    }
    assert told(ENGLISH.invited(people, {"cyd": "Cyd"}))["bob"] == ["Ann invited Cyd to the chat"]
    assert ENGLISH.invited(people, {}) == []


def test_n7_left() -> None:
    """To those who stay."""
    assert told(ENGLISH.left(scene("bob", "cyd"))) == {
        "bob": ["Ann left the chat"],
        "cyd": ["Ann left the chat"],
    }


def test_n8_n9_n10_removed() -> None:
    """The caller, the others, and those who are out."""
    people = scene("ann", "dan")

    assert told(ENGLISH.removed(people, {"bob": "Bob", "cyd": "Cyd"}, left=False)) == {
        "ann": ["You removed Bob, Cyd from the chat"],
        "dan": ["Ann removed Bob, Cyd from the chat"],
        "bob": ["Ann removed you from the chat"],
        "cyd": ["Ann removed you from the chat"],
    }
    assert told(CHINESE.removed(people, {"bob": "Bob"}, left=False)) == {
        "ann": ["你将Bob移出了群聊"],
        "dan": ["Ann将Bob移出了群聊"],
        "bob": ["你被Ann移出了群聊"],
    }


def test_n11_removed_with_oneself() -> None:
    """Who was on his own list is told that he left, and the others too."""
    assert told(ENGLISH.removed(scene("dan"), {"bob": "Bob"}, left=True)) == {
        "dan": ["Ann removed Bob from the chat", "Ann left the chat"],
        "bob": ["Ann removed you from the chat"],
        "ann": ["You left the chat"],
    }


def test_a_new_owner_and_the_end() -> None:
    """Ours: clients see both only when they look otherwise."""
    assert told(ENGLISH.owned(scene("bob", "cyd"), "bob", "Bob")) == {
        "bob": ["You now own the group"],
        "cyd": ["Bob now owns the group"],
    }
    assert told(CHINESE.dissolved(scene("ann", "bob"))) == {
        "ann": ["你解散了群聊"],
        "bob": ["Ann解散了群聊"],
    }


def test_a_keeper_is_no_member() -> None:
    """An application acts under its name, an operator under that of its office."""
    application = AppCaller("a1", "HR", "t1", "", frozenset())
    operator = Operator(Caller("x", "", frozenset(), "", 0, 1))

    assert told(ENGLISH.left(scene("bob", by=application))) == {"bob": ["HR left the chat"]}
    assert told(ENGLISH.renamed(scene("ann", by=operator))) == {
        "ann": ['An administrator renamed the group to "Lunch"']
    }
    assert told(CHINESE.removed(scene("bob", by=application), {"ann": "Ann"}, left=False)) == {
        "bob": ["HR将Ann移出了群聊"],
        "ann": ["你被HR移出了群聊"],
    }


def test_a_notice_knows_its_group() -> None:
    """What the sender needs: group, display name, for whom it is counted."""
    (notice,) = ENGLISH.created(scene("ann"), "ann")

    assert (notice.tenant_id, notice.group_id, notice.group_name) == ("t1", "g1", "Lunch")
    assert notice.acting == user("ann")
