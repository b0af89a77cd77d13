"""An arbiter finds whoever it has said yes to, and whoever has attached the key."""

from appmodel.core.cluster import Node, Role
from appmodel.core.names import Key
from appmodel.core.realms import client_key, is_client_key, room_key
from comet.core.attaching import Entry, Report, digest_of
from comet.core.claiming import ClaimBook, Rival, process
from comet.core.holders import Holders

KEY = client_key("/demo", "/demo#u1#web-d1")
A, B, C = (Node(Role.COMET, name, 1) for name in "abc")


def attached(holders: Holders, node: Node, *keys: Key) -> None:
    """That comet holds these keys, and nothing else."""
    digest = 0
    for key in keys:
        digest ^= digest_of(key)
    entries = tuple(Entry(key, 1, 0) for key in keys)
    assert holders.apply(Report(node, entries, True, len(keys), digest, 0, 1.0), 0.0)


def open_book() -> tuple[ClaimBook, Holders]:
    """Nothing is known of anybody."""
    holders = Holders(limit=1000, most_keys=100, wake=lambda holder: None)
    return ClaimBook(holders), holders


def test_what_was_granted_has_a_rival_for_others_only() -> None:
    """The comet that has it may ask again: a repeated call must not refuse what it got."""
    book, _ = open_book()

    book.grant(KEY, Rival(A, 7), now=1.0)

    assert book.rival(KEY, B, ()) == Rival(A, 7)
    assert book.rival(KEY, A, ()) is None


def test_who_has_attached_is_a_rival_until_it_says_that_it_is_not() -> None:
    """Its report that the client has gone may still be on its way."""
    book, holders = open_book()
    attached(holders, A, KEY)
    attached(holders, B, KEY)

    first = book.rival(KEY, C, ())
    assert first is not None
    second = book.rival(KEY, C, {process(first.node)})

    assert {first, second} == {Rival(A, None), Rival(B, None)}
    assert book.rival(KEY, C, {process(A), process(B)}) is None


def test_a_grant_counts_though_its_comet_was_cleared_before() -> None:
    """While one asks around, another may be let in: by then it is a new connection."""
    book, holders = open_book()
    attached(holders, A, KEY)
    cleared = {process(A)}

    book.grant(KEY, Rival(A, 7), now=1.0)

    assert book.rival(KEY, B, cleared) == Rival(A, 7)


def test_a_comet_takes_back_the_claim_that_it_was_asked_for() -> None:
    """What it says of one claim says nothing of others: it may have been granted a newer one."""
    book, _ = open_book()
    book.grant(KEY, Rival(A, 7), now=1.0)

    for other in (Rival(B, 7), Rival(A, 6), Rival(A, None)):
        book.revoke(KEY, other)
    assert book.rival(KEY, C, ()) == Rival(A, 7)
    book.revoke(KEY, Rival(A, 7))
    assert book.rival(KEY, C, ()) is None


def test_grants_are_forgotten_by_age() -> None:
    """One that is given anew is as young as that."""
    book, _ = open_book()
    other = client_key("/demo", "/demo#u2#web-d2")
    book.grant(KEY, Rival(A, 7), now=1.0)
    book.grant(other, Rival(A, 8), now=2.0)
    book.grant(KEY, Rival(A, 9), now=3.0)

    book.forget_grants(3.0)

    assert list(book.granted) == [KEY]


def test_a_key_is_crowded_from_two_comets_on() -> None:
    """One of them may be this one."""
    book, holders = open_book()
    attached(holders, A, KEY)
    assert book.candidates(KEY) == []

    attached(holders, B, KEY)

    assert book.candidates(KEY) == [A, B]


def test_addresses_of_a_realm_differ() -> None:
    """A room, a user and a client of the same name have three keys; those of a client can be told."""
    keys = {
        room_key("/demo", "u1"),
        room_key("/demo", "user_u1"),
        client_key("/demo", "/demo#u1#web-d1"),
    }

    assert keys == {
        Key("/demo", "u1", "qun"),
        Key("/demo", "u1", "user"),
        Key("/demo", "u1#web-d1", ""),
    }
    assert [key for key in keys if is_client_key(key)] == [KEY]


def test_the_room_of_a_user_without_a_name_is_a_room() -> None:
    """A key needs an id."""
    assert room_key("/demo", "user_") == Key("/demo", "user_", "qun")
