"""docs/mpush.md, typed into a shell: each of its lines does what stands beside it."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import msgspec
import pytest
from websockets.sync.client import connect

from appmodel.io.outbound_limits import OutboundLimits
from appmodel.runtime.config import MpushFcmConfig, MpushHookConfig
from tests.node import Node

GUIDE = (Path(__file__).parents[2] / "docs" / "mpush.md").read_text()
PATIENCE = 40.0  # seconds after which a test has failed
CURL = re.compile(r"`((?:df -h \\\| )?curl .*)` \|$", re.MULTILINE)

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def lines_of(title: str) -> list[str]:
    """The commands in the tables of a section; of several in a cell the first."""
    section = GUIDE.partition(f"\n## {title}")[2].partition("\n## ")[0]
    return [line.partition("`,")[0].replace("\\|", "|") for line in CURL.findall(section)]


def shell(command: str, node: Node, **more: str) -> str:
    """What it prints. A stream is cut off after a moment."""
    quick = command.replace("curl ", "curl -sS --max-time 1 ") if " -N " in command else command
    done = subprocess.run(
        ["bash", "-c", quick],
        env={"PATH": "/usr/bin:/bin", "M": node.url("web.mpush"), **more},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode in (0, 28), done.stderr  # 28: cut off
    return done.stdout


@pytest.fixture(autouse=True)
def devices(node: Node) -> None:
    """Those that the guide names; they have logged in, and have gone."""
    for name, group in (("phone", ""), ("desk", ""), ("手机", ""), ("tablet", "family")):
        with connect(node.url("comet.mpush")) as socket:
            data = f'{{"token":"mpush","name":"{name}","group":"{group}"}}'
            socket.send(f'{{"cmd":"AUTH","data":{data}}}')
            assert '"code":200' in str(socket.recv(PATIENCE))
    while "online" in shell('curl -s "$M/phone,desk,手机,tablet"', node):
        pass  # a comet notices a close a moment later


def test_every_line_that_pushes_pushes(node: Node) -> None:
    """All devices are away, so all of it waits."""
    lines = lines_of("Pushing")
    assert len(lines) >= 15

    said = {line: shell(line, node).strip() for line in lines}

    expected = r'offline|delayed [0-9a-f]{32}|\{.*"offline".*\}'
    assert [pair for pair in said.items() if not re.fullmatch(expected, pair[1])] == []


def test_every_line_that_reads_reads(node: Node) -> None:
    """What was pushed is there, and nothing else is said."""
    head = shell('curl -s -D - "$M/phone?title=here"', node)
    mid = re.search(r"(?i)x-mpush-mid: (\d{13})", head)
    lines = lines_of("Reading")
    assert mid is not None
    assert len(lines) >= 5

    said = {
        line: shell(line.replace("?mid=1557901952810", f"?mid={mid[1]}"), node) for line in lines
    }

    expected = r"(?s)(.*\"title\":\"here\".*|offline\n|:\n\n)"  # a stream without a past says that it lives
    assert [pair for pair in said.items() if not re.fullmatch(expected, pair[1])] == []


def test_version_2_answers_in_its_words(node: Node) -> None:
    """After 5 s at the latest, so the lines are one after the other only where there is nobody to wait for."""
    for line in lines_of("Version 2.2"):
        nobody = line.replace("phone", "nobody").replace("family", "strangers")
        assert '"cmd":"MESSAGE_REPLY"' in shell(nobody, node)


def test_a_phone_is_told_what_it_needs_and_why_it_cannot_have_it(node: Node) -> None:
    """Web Push works as it is; FCM is said to be not configured."""
    login, register = lines_of("On a locked phone")

    told = json.loads(shell(login, node))["data"]
    said = json.loads(shell(register, node, AUTH=told["auth"], FCM="abc"))

    assert len(told["webpushPublicKey"]) == 87
    assert said == {"cmd": "INFO", "data": "fcm: not configured on this server"}


def test_settings_of_web_hooks_are_settings() -> None:
    """Names that nobody knows are refused."""
    blocks = re.findall(r"```toml\n(.*?)```", GUIDE.partition("\n## Web hooks")[2], re.DOTALL)
    hooks, outbound = map(tomllib.loads, blocks[:2])

    [hook] = msgspec.convert(
        hooks["mpush"]["hooks"], list[MpushHookConfig], dec_hook=lambda kind, text: kind(text)
    )
    limits = msgspec.convert(outbound["web"]["mpush"]["receivers"]["outbound"], OutboundLimits)

    assert (hook.name, hook.group, hook.method) == ("nas", "home", "POST")
    assert limits.allowed == ("http://127.0.0.1:9000", "10.0.0.5")


def test_settings_of_fcm_are_settings() -> None:
    """As they stand there."""
    [block] = re.findall(r"```toml\n(\[mpush\.fcm\]\n.*?)```", GUIDE, re.DOTALL)

    config = msgspec.convert(tomllib.loads(block)["mpush"]["fcm"], MpushFcmConfig)

    assert config.project_id == "shop-1234"
