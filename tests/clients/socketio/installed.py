"""Others' JavaScript clients, from npm, beside these tests: the versions and hashes of package-lock.json."""

import hashlib
import shutil
import subprocess
from functools import cache
from pathlib import Path

from tests.clients.node_client import why_no_node

HERE = Path(__file__).parent
LOCK = HERE / "package-lock.json"
STAMP = HERE / "node_modules" / ".installed"  # the hash of the lock that it was made from
LIMIT = 120  # seconds


@cache
def why_not_installed() -> str:
    """Installs them if they are not here. The reason why they cannot be used, empty if they can."""
    if why_no_node():
        return why_no_node()
    if shutil.which("npm") is None:
        return "npm is not installed: others' JavaScript clients are not tested"
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if STAMP.exists() and STAMP.read_text() == wanted:
        return ""
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    try:
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return f"npm ci took more than {LIMIT} s: others' JavaScript clients are not tested"
    if done.returncode:
        return f"npm ci failed: others' JavaScript clients are not tested: {done.stderr[-300:]}"
    STAMP.write_text(wanted)
    return ""
