"""Chromium without a screen, for the tests of pages."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 40_000  # for a page; a pause before a try is a few seconds at most
needs_chromium = pytest.mark.skipif(
    not os.access(CHROMIUM, os.X_OK), reason="chromium is not installed: the page is not tested"
)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """It lives for the length of the block, which must not be inside trio."""
    # Whoever imports web has trio-asyncio's loops outside of trio, too: Playwright cannot run on them.
    asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=CHROMIUM, headless=True, args=FLAGS
            )
            yield browser
            browser.close()
    finally:
        asyncio.set_event_loop_policy(None)
