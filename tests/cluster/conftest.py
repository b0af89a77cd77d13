"""The cluster that a module breaks in many ways, and how often it does.

    make chaos ROUNDS=20 SEED=7      every fault twenty times, with the seeds 7 to 26

`make test` runs each fault once, and shortens what only takes time. A seed decides what the load is; the machine decides when.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack

import pytest
from pytest import TestReport  # noqa: PT013  only this class

from bench.machine import raise_open_files
from tests.cluster.cluster import SESSION, Cluster, Outside, running_cluster
from tests.cluster.outside import Servers, running_servers
from tools.servers.daemon import Missing

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "1"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
CHAOS = "CHAOS_ROUNDS" in os.environ  # there is time


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, TestReport, TestReport]:
    """How the log of each node ends is shown with what failed."""
    report = yield
    cluster = item.funcargs.get("cluster")
    if report.failed and isinstance(cluster, Cluster):
        report.sections.append(("logs of the nodes", cluster.tails()))
    return report


@pytest.fixture(params=range(SEED, SEED + ROUNDS), ids=lambda seed: f"seed{seed}")
def seed(request: pytest.FixtureRequest) -> int:
    """Of a round."""
    number: int = request.param
    return number


@pytest.fixture
def away() -> float:
    """Seconds for which ZooKeeper is away: past the session; a minute where there is time."""
    return 60.0 if CHAOS else SESSION + 2


@pytest.fixture
def crowd() -> int:
    """How many clients come back at once."""
    return 5000 if CHAOS else 1000


@pytest.fixture(scope="module")
def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Servers]:
    """An ensemble of ZooKeepers, and the STORE of the module."""
    with ExitStack() as stack:
        try:
            folder = tmp_path_factory.mktemp("servers")
            found = stack.enter_context(running_servers(folder, request.module.STORE))
        except Missing as missing:
            pytest.skip(str(missing))
        yield found


@pytest.fixture(scope="module")
def running(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three comets, two message nodes, two web nodes."""
    raise_open_files()  # thousands of clients live in this process
    outside = Outside(servers.registry, servers.store.settings, servers.mend)
    with running_cluster(tmp_path_factory.mktemp("cluster"), outside, proxied=True) as cluster:
        yield cluster


@pytest.fixture
def cluster(running: Cluster) -> Iterator[Cluster]:
    """All of it in order, before and after a test."""
    founders = set(running.nodes)
    yield running
    for name in running.nodes.keys() - founders:
        running.remove(name)
    running.mend()
