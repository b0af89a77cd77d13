"""What a path means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.errors import TooLarge
from web.core.mpush_paths import MAX_PARTS, Aim, Target, Wanted, read_path, spellings


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/test", "test"),
        ("/test/", "test/"),
        ("//test", "/test"),
        ("/a/b", "a/b"),
        ("/", ""),
        ("/x.sendz", "x.sendz"),  # version 2.2 took it for `x.send`
        ("/json", "json"),
        ("/a@mpush", "a@mpush"),
    ],
)
def test_a_path_is_a_name(path: str, name: str) -> None:
    """Without its first slash, as the seed has it."""
    assert read_path("GET", path) == Aim(Wanted.PUSH, name, (Target(name),))


@pytest.mark.parametrize(
    ("path", "targets"),
    [
        ("/test.send", [Target("test")]),
        ("/a.b.send", [Target("a.b")]),  # version 2.2 split at the first dot
        ("/mpush/a.send", [Target("mpush/a")]),
        ("/team.group", [Target("team", is_group=True)]),
        ("/a.send,team.group", [Target("a"), Target("team", is_group=True)]),
    ],
)
def test_version_2_is_told_by_the_end_of_a_name(path: str, targets: list[Target]) -> None:
    """By the end of every name, if there are several."""
    aim = read_path("POST", path)

    assert (list(aim.parts), aim.is_version_2) == (targets, True)


def test_several_names_have_commas_between() -> None:
    """Devices and groups; one that does not say .send or .group makes it the seed's way."""
    aim = read_path("PUT", "/a,b,family.group")

    assert aim.parts == (Target("a"), Target("b"), Target("family", is_group=True))
    assert (aim.is_version_2, aim.whole) == (False, "a,b,family.group")
    with pytest.raises(TooLarge, match=r"^path: more than 100 names$"):
        read_path("GET", "/" + "a," * MAX_PARTS)


@pytest.mark.parametrize("wanted", [Wanted.JSON, Wanted.SSE, Wanted.STATUS, Wanted.DELAYED])
def test_reading_is_for_get_alone(wanted: Wanted) -> None:
    """A device may be called so: POST reaches it."""
    path = f"/a/b{wanted.value}"

    assert read_path("GET", path) == Aim(wanted, "a/b")
    assert read_path("POST", path).parts == (Target(path[1:]),)


def test_delete_takes_back_what_is_delayed() -> None:
    """The id is behind the last such word."""
    assert read_path("DELETE", "/a/delayed/delayed/1f") == Aim(
        Wanted.CANCEL, "a/delayed", delayed_id="1f"
    )
    assert read_path("DELETE", "/a").whole == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("test", ["test"]),
        ("test/", ["test/", "test", "test%2F"]),
        ("设", ["设", "%E8%AE%BE", "%E8%AE%BE"]),
        ("a b&c", ["a b&c", "a%20b%26c", "a%20b&c"]),
        ("it's(1)!*", ["it's(1)!*"]),  # encodeURIComponent leaves all of it
    ],
)
def test_a_device_is_found_by_what_its_client_may_have_said(name: str, expected: list[str]) -> None:
    """As it is, without a slash at its end, or as clients of the seed had to write themselves."""
    assert list(spellings(name)) == expected


@given(st.text(max_size=50), st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH"]))
def test_every_path_means_something(path: str, method: str) -> None:
    """No path is a bug: whatever it is, it has a meaning or is refused."""
    aim = read_path(method, "/" + path)

    assert bool(aim.parts) is (aim.wanted is Wanted.PUSH)
