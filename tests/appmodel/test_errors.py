"""The tree of errors: each travels between nodes by its code, and comes back as what it was."""

import pytest

from appmodel.errors import (
    BadInput,
    NotOwner,
    NotStored,
    OutcomeUnknown,
    PushError,
    RemoteProtocolError,
    Unavailable,
)


def tree(root: type[PushError]) -> list[type[PushError]]:
    """The classes of appmodel/errors.py below `root`, and `root`."""
    below = [tree(child) for child in root.__subclasses__() if child.__module__ == root.__module__]
    return [root, *(error for branch in below for error in branch)]


@pytest.mark.parametrize("error", tree(PushError), ids=lambda error: error.__name__)
def test_an_error_comes_back_as_its_own_class(error: type[PushError]) -> None:
    """With its text, its `ret` and its HTTP status, whatever arguments it was first made with."""
    back = PushError.from_wire(error.code, "what was wrong")

    assert type(back) is error
    assert str(back) == "what was wrong"
    assert (back.ret, back.status) == (error.ret, error.status)


def test_a_code_names_one_class() -> None:
    """Else one of two would come back as the other."""
    codes = [error.code for error in tree(PushError)]

    assert len(codes) == len(set(codes))


def test_an_error_without_a_code_of_its_own_travels_as_its_parent() -> None:
    """A module may refine an error without taking the place of the one that it refines."""

    class FrameTorn(RemoteProtocolError):
        """As comet/protocol/websocket.py has one."""

    assert FrameTorn.code == RemoteProtocolError.code
    assert type(PushError.from_wire(FrameTorn.code, "x")) is RemoteProtocolError


def test_a_code_of_a_newer_version_is_still_an_error() -> None:
    """Nodes are updated one after the other."""
    assert type(PushError.from_wire("of-tomorrow", "x")) is PushError


def test_what_may_have_happened_is_not_what_did_not() -> None:
    """A caller decides by the class whether a retry needs the same push id."""
    assert issubclass(NotStored, Unavailable)
    assert not issubclass(OutcomeUnknown, Unavailable)


def test_bad_input_says_field_value_and_what_was_expected() -> None:
    """And a value of any size in one line."""
    error = BadInput("ttl", "x" * 1000, "a number")

    assert str(error).startswith("ttl: got 'xxx")
    assert str(error).endswith("..., expected a number")
    assert len(str(error)) < 120
    assert error.field == "ttl"


def test_bad_input_may_be_of_any_depth() -> None:
    """As JSON of a stranger is."""
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]

    assert str(BadInput("title", deep, "a text")).startswith("title: got a list that is nested")


@pytest.mark.parametrize(("owner", "said"), [("c2", "c2"), (None, "no live node")])
def test_not_owner_names_who_is(owner: str | None, said: str) -> None:
    """Or that nobody is."""
    assert str(NotOwner("k@user", owner)) == f"key 'k@user' belongs to {said}"
