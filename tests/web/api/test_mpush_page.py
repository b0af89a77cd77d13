"""The page of Mpush as 8094 serves it: tests/clients/test_mpush_page.py is its user."""

import json
import re

import pytest

from tests.web.world import World
from web.api.pages import STATIC

FOLDER = STATIC / "mpush"
FILES = sorted(path.name for path in FOLDER.iterdir())


async def test_a_link_without_the_slash_leads_to_it(home: World) -> None:
    """By a relative address: a proxy may serve all of it below a prefix."""
    answer = await home.api.ask("GET", "/mpush")

    assert (answer.status, answer.headers["location"]) == (308, "mpush/")


@pytest.mark.parametrize("name", FILES)
async def test_every_file_is_served_under_a_strict_policy(home: World, name: str) -> None:
    """Nothing of others, nothing inline; the service worker lies where its scope is."""
    answer = await home.api.ask("GET", f"/mpush/{name.removesuffix('index.html')}")

    policy = answer.headers["content-security-policy"]
    assert answer.status == 200
    assert answer.body == (FOLDER / name).read_bytes()
    assert "unsafe" not in policy
    for directive in ("default-src 'none'", "worker-src 'self'", "manifest-src 'self'"):
        assert directive in policy
    assert (await home.api.ask("GET", f"/static/mpush/{name}")).status == 404


def test_the_page_has_nothing_inline_and_nothing_from_elsewhere() -> None:
    """All addresses are relative; a namespace of SVG is a name, and no address."""
    for name in (name for name in FILES if not name.endswith(".png")):
        text = (FOLDER / name).read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|<script>|<style| style=| on\w+=|innerHTML", text), name


def test_the_manifest_makes_it_installable() -> None:
    """What browsers ask for: a name, a start, a display of its own, icons that are as large as they say."""
    manifest = json.loads((FOLDER / "manifest.webmanifest").read_text())

    assert manifest["name"]
    assert manifest["display"] == "standalone"
    assert manifest["start_url"] == manifest["scope"] == "./"
    for icon in manifest["icons"]:
        data = (FOLDER / icon["src"]).read_bytes()
        if (
            icon["type"] == "image/png"
        ):  # PNG 5.2, 11.2.2: signature, then IHDR with width and height
            width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
            assert icon["sizes"] == f"{width}x{height}"


def test_the_worker_keeps_every_file_of_the_page() -> None:
    """What it does not keep is missing without a network."""
    kept = re.search(r"FILES = (\[.*?\]);", (FOLDER / "worker.js").read_text(), re.DOTALL)

    assert kept is not None
    assert set(json.loads(kept[1].replace("./", "index.html"))) == set(FILES) - {"worker.js"}


def test_both_languages_say_the_same_things() -> None:
    """Word for word, with the same parts; and all words of the page are there."""
    text = (FOLDER / "words.js").read_text()
    english, chinese = (
        dict(re.findall(r"^    (\w+): \"(.*)\",$", part, re.MULTILINE))
        for part in re.split(r"^  zh: ", text, flags=re.MULTILINE)
    )

    assert english.keys() == chinese.keys()
    for word, said in english.items():
        assert set(re.findall(r"{\w+}", said)) == set(re.findall(r"{\w+}", chinese[word])), word
    page = (FOLDER / "index.html").read_text() + (FOLDER / "page.js").read_text()
    for word in re.findall(r"data-word=\"(\w+)\"|\bsay\(\"(\w+)\"", page):
        assert "".join(word) in english
