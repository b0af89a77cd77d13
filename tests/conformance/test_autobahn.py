"""RFC 6455 as the Autobahn suite tests it, outside compression (12, 13) and performance (9)."""

import json
import subprocess
import sys
from pathlib import Path

LEFT_OUT = ["9.*", "12.*", "13.*"]
CASES = 247


def test_no_autobahn_case_fails(tmp_path: Path) -> None:
    """Every case against the comet's live path; the behaviour and the way it closes."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.conformance.websocket_echo", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        address = next(line for line in server.stdout if line.startswith("ws://"))
        suite = [str(Path(sys.executable).parent / "kosoku"), "-m", "fuzzingclient"]
        for pattern in LEFT_OUT:
            suite += ["-x", pattern]
        suite += ["-o", str(tmp_path), address.removeprefix("ws://").rstrip("/\n")]
        run = subprocess.run(suite, capture_output=True, text=True, timeout=100, check=False)
    finally:
        server.terminate()
        server.communicate()

    assert run.returncode == 0, run.stdout + run.stderr
    [agent] = json.loads((tmp_path / "index.json").read_text()).values()
    assert len(agent) == CASES
    bad = {
        case: result
        for case, result in agent.items()
        if result["behavior"] not in {"OK", "NON-STRICT", "INFORMATIONAL"}
        or result["behaviorClose"] not in {"OK", "INFORMATIONAL"}
    }
    assert bad == {}
