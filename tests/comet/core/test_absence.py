"""Who is forgotten, by whom, and when."""

from appmodel.core.cluster import ClusterView, Node, Role, State
from appmodel.core.sessions import Holder
from comet.core.absence import Absence

GRACE = 10.0
A, B = (Node(Role.COMET, name, incarnation=1) for name in "ab")
DEAD = Holder("c", 7)
ALL = [Holder("a", 1), Holder("b", 1), DEAD]


def view(*nodes: Node) -> ClusterView:
    """Of these."""
    return ClusterView(1, nodes)


def test_who_is_not_in_the_view_is_forgotten_after_a_grace() -> None:
    """By the first comet of the ring; nobody else loses anything."""
    absence = Absence(GRACE)

    assert list(absence.look(ALL, view(A, B), A, 100.0)) == []
    assert list(absence.look(ALL, view(A, B), A, 109.9)) == []
    assert list(absence.look(ALL, view(A, B), A, 110.0)) == [DEAD]


def test_the_second_comet_waits_longer() -> None:
    """In case the first one does not do it; and both need not."""
    absence = Absence(GRACE)

    absence.look(ALL, view(A, B), B, 100.0)

    assert list(absence.look(ALL, view(A, B), B, 119.9)) == []
    assert list(absence.look(ALL, view(A, B), B, 120.0)) == [DEAD]


def test_who_comes_back_in_time_is_not_forgotten() -> None:
    """And its next absence begins anew."""
    absence = Absence(GRACE)
    absence.look([Holder("b", 1)], view(A), A, 100.0)
    absence.look([Holder("b", 1)], view(A, B), A, 109.0)

    assert not absence
    assert list(absence.look([Holder("b", 1)], view(A), A, 111.0)) == []
    assert absence


def test_another_start_of_a_comet_is_another_one() -> None:
    """A comet that was killed and started again did not hold what it held before."""
    absence = Absence(0)
    old = Holder("a", 0x1234)

    assert list(absence.look([old, *ALL[:2]], view(A, B), A, 1.0)) == [old]


def test_one_that_is_not_on_the_ring_is_alive() -> None:
    """A comet that joins, drains, or stands by behind another process of its name holds its clients."""
    others = [Node(Role.COMET, "a", number, state=state) for number, state in enumerate(State, 2)]
    holders = [Holder(node.name, node.incarnation) for node in others]

    assert list(Absence(0).look(holders, view(A, *others), A, 1.0)) == []


def test_a_configured_comet_is_alive_under_any_incarnation() -> None:
    """Its start is not known to us: it forgets by itself what it held before."""
    configured = Node(Role.COMET, "c")

    assert list(Absence(0).look([DEAD], view(A, configured), A, 1.0)) == []


def test_nobody_forgets_itself() -> None:
    """A registry that is away may lack us; we are here all the same."""
    assert list(Absence(0).look([Holder("a", 1)], view(B), A, 1.0)) == []


def test_others_are_not_comets() -> None:
    """A web node of the same name says nothing about a comet."""
    web = Node(Role.WEB, "c", 7)

    assert list(Absence(0).look([DEAD], view(A, web), A, 1.0)) == [DEAD]
