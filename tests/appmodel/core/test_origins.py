"""Which web pages may call."""

import pytest

from appmodel.core.origins import Origins, host_name
from appmodel.errors import Forbidden

OPEN = Origins()
SHOP = Origins(["https://Shop.example/"])
HOME = Origins(home=True, hosts=["Box.lan"])


@pytest.mark.parametrize(
    ("rule", "headers"),
    [
        (OPEN, {}),
        (OPEN, {"host": "push.example"}),
        (OPEN, {"host": "push.example:8090", "origin": "https://push.example"}),
        (OPEN, {"host": "PUSH.example:8090", "origin": "http://push.example:8094"}),
        (OPEN, {"host": "push.example", "origin": "http://localhost:3000"}),
        (OPEN, {"host": "push.example", "origin": "http://127.0.0.1"}),
        (OPEN, {"host": "push.example", "origin": "http://[::1]:8094"}),
        (OPEN, {"host": "push.example", "sec-fetch-site": "cross-site"}),
        (SHOP, {"host": "push.example", "origin": "https://shop.example"}),
        (Origins(["*"]), {"host": "push.example", "origin": "https://any.example"}),
        (HOME, {"host": "127.0.0.1:8091"}),
        (HOME, {"host": "localhost"}),
        (HOME, {"host": "demo.localhost:8094"}),
        (HOME, {"host": "[::1]:8094"}),
        (HOME, {"host": "127.8.9.10:8094"}),
        (HOME, {"host": "box.lan:8094"}),
        (HOME, {"host": "localhost:8094", "origin": "http://127.0.0.1:8090"}),
        (HOME, {"host": "localhost", "sec-fetch-site": "same-origin"}),
        (
            HOME,
            {"host": "localhost", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
        ),
    ],
)
def test_passes(rule: Origins, headers: dict[str, str]) -> None:
    """No page, our own pages, pages of this machine, and those that were configured."""
    rule.check(headers)


@pytest.mark.parametrize(
    ("rule", "headers"),
    [
        (OPEN, {"host": "push.example", "origin": "https://evil.example"}),
        (OPEN, {"host": "push.example", "origin": "null"}),
        (OPEN, {"host": "push.example", "origin": ""}),
        (OPEN, {"host": "push.example", "origin": "https://push.example.evil.example"}),
        (OPEN, {"host": "push.example", "origin": "https://evil.example/push.example"}),
        (OPEN, {"host": "push.example", "origin": "https://push.example@evil.example"}),
        (OPEN, {"host": "push.example", "origin": "https://127.0.0.1.evil.example"}),
        (OPEN, {"host": "push.example", "origin": "https://127.evil.example"}),
        (OPEN, {"host": "push.example", "origin": "http://localhost.evil.example"}),
        (OPEN, {"host": "push.example", "origin": "file://push.example"}),
        (OPEN, {"host": "push.example", "origin": "http://[::1"}),
        (SHOP, {"host": "push.example", "origin": "http://shop.example"}),
        (HOME, {"host": "evil.example"}),
        (HOME, {"host": "evil.example", "origin": "http://evil.example"}),  # DNS rebinding
        (HOME, {"host": "127.0.0.1.evil.example:8094"}),
        (HOME, {"host": "127.evil.example"}),
        (HOME, {"host": ""}),
        (HOME, {"host": "localhost", "origin": "https://evil.example"}),
        (HOME, {"host": "localhost", "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}),
        (HOME, {"host": "localhost", "sec-fetch-site": "cross-site"}),
    ],
)
def test_refused(rule: Origins, headers: dict[str, str]) -> None:
    """Pages of other sites, however they spell it, and names that only point to this machine."""
    with pytest.raises(Forbidden):
        rule.check(headers)


def test_a_link_of_another_site_changes_nothing_at_home() -> None:
    """Where a GET changes something, who is led there is refused; who types it, or has a credential, is not."""
    led = {"host": "localhost", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}

    with pytest.raises(Forbidden, match="Sec-Fetch-Site"):
        HOME.check(led, by_link=False)
    HOME.check(led | {"sec-fetch-site": "none"}, by_link=False)
    OPEN.check(led, by_link=False)


def test_an_answer_may_be_read_by_allowed_pages_only() -> None:
    """CORS names the one origin that asked, never all."""
    allowed = SHOP.cors({"host": "push.example", "origin": "https://shop.example"})

    assert allowed == [
        ("Access-Control-Allow-Origin", "https://shop.example"),
        ("Vary", "Origin"),
    ]
    assert SHOP.cors({"host": "push.example", "origin": "https://evil.example"}) == []
    assert SHOP.cors({"host": "push.example"}) == []
    assert SHOP.cors_preflight({"host": "push.example", "origin": "https://evil.example"}) == []


@pytest.mark.parametrize(
    ("host", "name"),
    [("a.b:80", "a.b"), ("A.b.", "a.b"), ("[::1]:80", "::1"), ("[::1]", "::1"), ("", "")],
)
def test_the_name_in_a_host_header(host: str, name: str) -> None:
    """Without port, brackets, root dot and capitals."""
    assert host_name(host) == name
