"""What opens an account, and what is stored of it."""

from hashlib import md5
from typing import Any

import pytest
import trio

from appmodel.errors import BadInput, LimitReached
from web.services.passwords import (
    OF_MD5,
    Passwords,
    checked_password,
    hash_password,
    is_password_hash,
)

MD5 = md5(b"secret").hexdigest()


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(memory=8, passes=1)


async def test_a_password_opens_what_was_made_of_it(passwords: Passwords) -> None:
    """It and nothing else; two hashes of it differ; none shows it."""
    one, other = await passwords.hash("secret"), await passwords.hash("secret")

    assert one != other
    assert "secret" not in one
    for given, is_right in (
        ("secret", True),
        ("Secret", False),
        ("", False),
        ("x" * 10_000, False),
    ):
        assert (await passwords.check(given, one)).is_right is is_right


@pytest.mark.parametrize("stored", [None, "", "$argon2id$nonsense", "md5+nonsense"])
async def test_nothing_opens_what_is_not_there(passwords: Passwords, stored: str | None) -> None:
    """No user, no password, a broken hash: an empty password opens none of them."""
    for given in ("", "x", stored or "y"):
        assert not (await passwords.check(given, stored)).is_right


@pytest.mark.parametrize("stored", [MD5, MD5.upper(), "secret"])
async def test_an_adopted_password_is_verified_once_and_replaced(
    passwords: Passwords, stored: str
) -> None:
    """MD5 or plain: right before, right after, and after is no MD5 and no plain text."""
    first = await passwords.check("secret", stored)
    assert first.is_right
    assert first.replacement is not None

    assert is_password_hash(first.replacement)
    again = await passwords.check("secret", first.replacement)
    assert (again.is_right, again.replacement) == (True, None)
    assert not (await passwords.check("secrets", stored)).is_right
    assert not (await passwords.check("secrets", first.replacement)).is_right


async def test_clients_that_send_the_md5_go_on(passwords: Passwords) -> None:
    """As the original's browser clients do: before, and after it was replaced; but not for other accounts."""
    replaced = (await passwords.check(MD5, MD5)).replacement

    assert replaced is not None
    assert (await passwords.check(MD5, replaced)).is_right
    assert (await passwords.check("secret", replaced)).is_right
    assert not (await passwords.check(MD5, await passwords.hash("secret"))).is_right


async def test_what_is_delivered(passwords: Passwords) -> None:
    """An MD5 opens by the password too, a hash stays as it is, all else is a password."""
    ready = hash_password("secret")

    assert (await passwords.hash_delivered(MD5)).startswith(OF_MD5)
    assert (await passwords.check("secret", await passwords.hash_delivered(MD5))).is_right
    assert (await passwords.check("secret", await passwords.hash_delivered("secret"))).is_right
    assert await passwords.hash_delivered(ready) == ready


async def test_costs_may_rise(passwords: Passwords) -> None:
    """A login hashes anew what was hashed more cheaply."""
    cheap = await passwords.hash("secret")

    checked = await Passwords(memory=16, passes=1).check("secret", cheap)

    assert checked.is_right
    assert checked.replacement is not None
    assert "m=16" in checked.replacement


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        MD5,
        "$argon2id$v=19$m=4194304,t=3,p=1$c2FsdHNhbHQ$" + "A" * 43,
        "$argon2i$v=19$m=8,t=3,p=1$c2FsdHNhbHQ$" + "A" * 43,
        "$argon2id$v=19$m=8,t=99,p=1$c2FsdHNhbHQ$" + "A" * 43,
        hash_password("x") + " " * 200,
    ],
)
def test_what_is_no_hash(text: str) -> None:
    """Nor one that costs a node 4 GiB for each login."""
    assert not is_password_hash(text)


async def test_too_many_are_refused(passwords: Passwords) -> None:
    """Whoever would wait too long is told so at once."""
    busy = Passwords(threads=1, waiting=1, memory=8, passes=1)
    refused = 0

    async def check() -> None:
        nonlocal refused
        try:
            await busy.check("x", None)
        except LimitReached:
            refused += 1

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(check)

    assert refused == 3


@pytest.mark.parametrize("value", ["", "short", "x" * 257, "with\0nul-inside"])
def test_a_new_password_has_bounds(value: str) -> None:
    """And an error never shows it."""
    with pytest.raises(BadInput, match="password") as refused:
        checked_password("password", value, least=8)
    assert "short" not in str(refused.value)


@pytest.mark.parametrize("given", ["secret", "wrong", ""])
@pytest.mark.parametrize("stored", [None, "", MD5, "secret", "hashed", "of md5"])
async def test_the_time_tells_nothing(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch, given: str, stored: str | None
) -> None:
    """One run of argon2, whoever it is and whatever is stored."""
    if stored == "hashed":
        stored = await passwords.hash("secret")
    elif stored == "of md5":
        stored = await passwords.hash_delivered(MD5)
    runs: list[object] = []
    hasher = passwords._argon2
    for name in ("hash", "verify"):
        run = getattr(hasher, name)

        def counted(*given: object, run: Any = run) -> object:
            runs.append(given)
            return run(*given)

        monkeypatch.setattr(type(hasher), name, staticmethod(counted))

    await passwords.check(given, stored)

    assert len(runs) == 1
