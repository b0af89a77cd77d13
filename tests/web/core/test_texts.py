"""The catalogue of what people read."""

from string import Formatter

import pytest

from web.core.texts import Text, Texts


@pytest.mark.parametrize("text", Text)
def test_both_languages_say_the_same_things(text: Text) -> None:
    """Each part that one names, the other names."""

    def parts(pattern: str) -> set[str | None]:
        return {name for _, name, _, _ in Formatter().parse(pattern) if name is not None}

    assert parts(text.en) == parts(text.zh)
    assert text.en
    assert any("一" <= character <= "鿿" for character in text.zh)


def test_the_language_is_chosen_once() -> None:
    """And separates names in its own way."""
    english, chinese = Texts("en"), Texts("zh")

    assert english.say(Text.LEFT, who="Ann") == "Ann left the chat"
    assert chinese.say(Text.LEFT, who="Ann") == "Ann退出了群聊"
    assert (english.list(["a", "b"]), chinese.list(["a", "b"])) == ("a, b", "a、b")


def test_names_are_put_in_as_they_are() -> None:
    """Braces in a name are no parts of a text."""
    assert Texts().say(Text.LEFT, who="{count}") == "{count} left the chat"


def test_a_long_list_is_cut() -> None:
    """A thousand names would be read by nobody."""
    names = [str(n) for n in range(12)]

    assert Texts("zh").list(names) == "0、1、2、3、4、5、6、7、8、9、…"
    assert Texts("zh").list(names[:10]) == "0、1、2、3、4、5、6、7、8、9"
