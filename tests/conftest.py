"""What holds for every test."""

import gc
import logging
from collections import Counter

import pytest
import structlog
from hypothesis import settings

from tests.databases import database as database  # a fixture for all

# An example may take as long as it takes: on a busy machine a time-out says nothing about the law.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: `make test` gives each worker file by file, and the last one should be short."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


def pytest_collection_finish() -> None:
    """Modules and 8,000 tests are no garbage, and not searched for any: it took 3.5 of 27 s of 2,000 small tests."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """A command that ran in this process has said where logs go; its stream is closed, others may still speak."""
    if structlog.is_configured():
        structlog.reset_defaults()
        logging.getLogger().handlers.clear()
        logging.captureWarnings(capture=False)
