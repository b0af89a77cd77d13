"""Counting costs an integer; names and labels exist at a scrape only."""

import pytest

from appmodel.runtime.metrics import Metrics


def samples(metrics: Metrics, name: str) -> list[str]:
    page, _ = metrics.render()
    return [line for line in page.decode().splitlines() if line.startswith(name)]


def test_values_are_those_of_the_moment_of_the_scrape() -> None:
    """Nothing is counted twice: what is shown is what the code itself goes by."""
    metrics = Metrics()
    open_now = [1, 2, 3]
    metrics.gauge("comet_open", "Open.", lambda: len(open_now))
    assert samples(metrics, "comet_open") == ["comet_open 3.0"]

    open_now.pop()

    assert samples(metrics, "comet_open") == ["comet_open 2.0"]


def test_labels_come_with_the_values() -> None:
    """One label by its value, two by a pair; values appear as they happen."""
    metrics = Metrics()
    refused: dict[str, float] = {}
    metrics.counter("refused", "By reason.", lambda: refused, labels=("reason",))
    metrics.gauge("pairs", "Two.", lambda: {("a", 'x"y'): 1}, labels=("left", "right"))
    assert samples(metrics, "refused_total") == []

    refused["slow"] = 2

    assert samples(metrics, "refused_total") == ['refused_total{reason="slow"} 2.0']
    assert samples(metrics, "pairs") == ['pairs{left="a",right="x\\"y"} 1.0']


def test_a_name_is_given_once() -> None:
    """Two meanings under one name would be a silent lie."""
    metrics = Metrics()
    metrics.counter("pushes", "Pushes.", lambda: 0)

    with pytest.raises(ValueError, match="pushes"):
        metrics.gauge("pushes", "Something else.", lambda: 0)


def test_two_nodes_of_one_process_do_not_share() -> None:
    """Tests start several nodes: no global registry."""
    first, second = Metrics(), Metrics()

    first.gauge("only_here", "One.", lambda: 1)

    assert samples(second, "only_here") == []


def test_the_process_itself_is_measured() -> None:
    """CPU, memory and descriptors of every node, under the names that everybody's dashboards know."""
    page, content_type = Metrics().render()

    assert {
        b"process_cpu_seconds_total",
        b"process_resident_memory_bytes",
        b"process_open_fds",
    } <= {line.split()[0] for line in page.splitlines()}
    assert content_type.startswith("text/plain; version=0.0.4")


def test_openmetrics_is_spoken_to_those_who_ask() -> None:
    """A scraper says in Accept what it can read."""
    page, content_type = Metrics().render("application/openmetrics-text; version=1.0.0")

    assert content_type.startswith("application/openmetrics-text")
    assert page.endswith(b"# EOF\n")
