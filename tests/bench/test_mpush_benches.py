"""The benches of Mpush measure what they say: small runs against the real node, and runs that must fail."""

from collections.abc import Iterator
from contextlib import closing, nullcontext

import pytest

from bench import mpush, mpush_queue, servers
from bench.load import LoadFailed
from bench.machine import Cores
from bench.mpush_load import Load, Phone, Pushers
from bench.mpush_servers import MpushServer, alone
from bench.scale import Bench, Scale
from bench.tables import Table

TINY = Scale(mpush_rounds=1, mpush_seconds=0.1, mpush_queued=120, mpush_quiet=0.2, mpush_devices=20)
OURS_ALONE = Bench(Cores.split(), TINY, peers=False)


@pytest.fixture(scope="module")
def node() -> Iterator[MpushServer]:
    """One node for all of them: each test has devices of its own."""
    with alone(Cores.split()) as server:
        yield server


@pytest.fixture(autouse=True)
def no_node_for_each(node: MpushServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bench starts its servers; here it finds that one."""
    monkeypatch.setattr(mpush, "alone", lambda _: nullcontext(node))
    monkeypatch.setattr(servers, "SETTLE", 1)  # memory is told, not judged


def test_pushes_are_answered_when_the_device_has_them() -> None:
    """Each was answered `ok` and arrived: otherwise the run would have failed. Both loads are judged by their p99."""
    report = mpush.answers(OURS_ALONE)

    assert len(report.tables) == len(mpush.CONNECTIONS)
    for table in report.tables:
        assert isinstance(table, Table)
        assert [row[0] for row in table.rows] == ["appmsg"]
    assert all(verdict.reached is not None for verdict in report.verdicts)


def test_a_long_queue_arrives_whole_and_once() -> None:
    """What was pushed to a device that was away is what it gets, and what it acknowledged stays away."""
    report = mpush_queue.queue(OURS_ALONE)

    [table], [verdict] = report.tables, report.verdicts
    assert isinstance(table, Table)
    [row] = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert (row["pushed"], row["arrived"], row["lost"]) == ("120", "120", "0")
    assert verdict.reached


def test_devices_at_rest_are_counted_and_come_again() -> None:
    """Memory, first logins and later ones are told for every server."""
    report = mpush_queue.idle(OURS_ALONE)

    [table] = report.tables
    assert isinstance(table, Table)
    assert [row[:2] for row in table.rows] == [["appmsg", "20"]]


def test_a_wrong_answer_and_a_missing_message_end_the_run(node: MpushServer) -> None:
    """What did not become of a push as it should is not measured as if it had."""
    with (
        closing(Pushers(node.http, 1, name="nobody")) as pushers,
        closing(Load(pushers)) as load,
        pytest.raises(LoadFailed, match="was answered"),
    ):
        load.push_all(1)

    with closing(Phone(node, "gone")):
        pass
    with (
        closing(Phone(node, "other")) as other,
        closing(Pushers(node.http, 1, name="gone", word=b"offline\n")) as pushers,
        closing(Load(pushers, other)) as load,
    ):
        load.push_all(1)
        with pytest.raises(LoadFailed, match="1 of 1 pushes did not arrive"):
            load.check()
