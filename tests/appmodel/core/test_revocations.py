"""What is void."""

from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.credentials import Caller, Ticket
from appmodel.core.message import Revocation
from appmodel.core.names import Key
from appmodel.core.revocations import Revocations, key_subject, token_subject, user_subject

KEY = Key("", "u1", "user")


def ticket(issued_at: float, *, key: Key = KEY, id: str = "t1") -> Ticket:
    return Ticket(key, issued_at, issued_at + 60, id)


def test_a_key_s_tickets_are_void_up_to_the_instant() -> None:
    """Those issued before are void; those issued from then on are good; other keys are untouched."""
    revocations = Revocations()
    revocations.add(Revocation(1, key_subject(KEY), 100.0, 500.0))

    assert revocations.voids(ticket(99.999))
    assert not revocations.voids(ticket(100.0))
    assert not revocations.voids(ticket(50.0, key=Key("t7", "u1", "user")))


def test_one_credential_is_void_by_its_id() -> None:
    """A ticket and an access token alike, and only that one."""
    revocations = Revocations()
    revocations.add(Revocation(1, token_subject("x"), 100.0, 500.0))
    caller = Caller("shop", "", frozenset({"push"}), "x", 50.0, 500.0)

    assert revocations.voids(caller)
    assert revocations.voids(ticket(50.0, id="x"))
    assert not revocations.voids(ticket(50.0, id="y"))


def test_all_of_a_user_is_void() -> None:
    """Tickets of the inbox and of every session, issued before; not those of others."""
    revocations = Revocations()
    revocations.add(Revocation(1, user_subject("u1"), 100.0, 500.0))

    assert revocations.voids(ticket(50.0))
    assert revocations.voids(ticket(50.0, key=Key("", "u1_iOS-d1", "user")))
    assert not revocations.voids(ticket(100.0))
    assert not revocations.voids(ticket(50.0, key=Key("", "u12", "user")))
    assert not revocations.voids(ticket(50.0, key=Key("", "u1", "app")))
    assert not revocations.voids(ticket(50.0, key=Key("t7", "u1", "user")))


def test_nothing_is_forgotten_before_its_time() -> None:
    """A revocation lives until the last credential that it concerns has expired."""
    revocations = Revocations()
    revocations.add(Revocation(1, key_subject(KEY), 100.0, 500.0))

    revocations.forget(499.0)
    assert revocations.voids(ticket(50.0))

    revocations.forget(500.0)
    assert len(revocations) == 0
    assert revocations.position == 1


RECORDS = st.builds(
    Revocation,
    st.integers(1, 50),
    st.sampled_from([key_subject(KEY), token_subject("t1")]),
    st.floats(0, 100),
    st.floats(100, 200),
)


@given(st.lists(RECORDS, max_size=8), st.floats(0, 100))
def test_order_and_repetition_change_nothing(records: list[Revocation], issued_at: float) -> None:
    """Two nodes that heard the same revocations agree, whatever the order, however often."""
    one, other = Revocations(), Revocations()
    for record in records:
        one.add(record)
    for record in sorted(records * 2, key=lambda r: (r.kept_until, r.issued_before)):
        other.add(record)

    assert one.voids(ticket(issued_at)) == other.voids(ticket(issued_at))
    assert one.position == other.position
