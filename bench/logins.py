"""What a login costs, and what the token costs that comes with every call.

    login           POST /app/client/device/login: argon2, a look-up, two transactions
    token, known    POST /app/client/device/validateToken with one token, again and again
    token, new      the same, each call with another token: a look-up in the database
    no token        the same with garbage: its signature refuses it, no query

One node on SQLite. Calls of one connection come one after the other.
"""

import json
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.client import HTTPConnection

import sqlalchemy as sa

from appmodel.core.user_tokens import TokenSigner
from appmodel.io.engines import DatabaseLimits, make_engine
from appmodel.orm.people import User, UserToken
from bench import company
from bench.load import LoadFailed
from bench.scale import Bench
from bench.servers import Server, appmsg
from bench.tables import Report, Table, percentiles
from web.services.passwords import hash_password

SECRET = "a secret of the benchmarks, long enough to sign with"
PASSWORD = "correct horse"
USERS = 50
PARALLEL = 8  # connections
LOGIN = "/app/client/device/login"
VALIDATE = "/app/client/device/validateToken"


@dataclass(frozen=True, slots=True)
class Calls:
    """What a number of calls took."""

    seconds: Sequence[float]  # each
    lasted: float  # all together
    cpu: float  # seconds of the server


def logins(bench: Bench) -> Report:
    """Rate, latency and CPU of each kind of call, over one connection and over several."""
    count = bench.scale.login_calls
    with tempfile.TemporaryDirectory() as name:
        url = f"sqlite:///{name}/app.db"
        company.make_tables(url)
        tokens = _found(url, 8 * count)
        settings = {"APPMSG_DATABASE__URL": url, "APPMSG_AUTH__SECRET": SECRET}
        with appmsg(bench.cores, settings) as server:
            fresh = iter(tokens)
            rows = []
            for at_once in (1, PARALLEL):
                new = [_token(next(fresh)) for _ in range(count * 2)]
                kinds = {
                    "login": (LOGIN, [_login(n) for n in range(count)], 0),
                    "token, known": (VALIDATE, [_token(tokens[-1])] * count * 5, 0),
                    "token, new": (VALIDATE, new, 0),
                    "no token": (VALIDATE, [_token("u00000_" + "0" * 82)] * count * 5, 1001),
                }
                for kind, (path, bodies, ret) in kinds.items():
                    calls = _call(server, path, bodies, ret, at_once)
                    rows.append(_row(f"{kind}, {at_once} at once", calls))
    columns = ("", "calls", "calls/s", "p50 / p99 ms", "CPU ms")
    return Report([Table("Logins and tokens, SQLite", columns, rows)])


def _found(url: str, count: int) -> list[str]:
    """Users with a password, and so many of their tokens."""
    signer, now, stored = TokenSigner(SECRET.encode()), datetime.now(UTC), hash_password(PASSWORD)
    uids = [company.uid(n) for n in range(USERS)]
    tokens = [signer.issue(uids[n % USERS], now=now.timestamp()) for n in range(count)]
    users = [{"id": uid, "name": f"login-{uid}", "password": stored} for uid in uids]
    kept = [
        {
            "digest": sha256(token.encode()).hexdigest(),
            "user_id": token.partition("_")[0],
            "expires": now + timedelta(hours=1),
        }
        for token in tokens
    ]
    engine = make_engine(DatabaseLimits(url=url))
    with engine.begin() as connection:
        connection.execute(sa.insert(User), users)
        connection.execute(sa.insert(UserToken), kept)
    engine.dispose()
    return tokens


def _login(number: int) -> bytes:
    base = {"uid": "", "deviceID": f"d{number}", "deviceType": "iOS", "token": ""}
    name = f"login-{company.uid(number % USERS)}"
    body = {"baseRequest": base, "userName": name, "password": PASSWORD}
    return json.dumps(body).encode()


def _token(text: str) -> bytes:
    return json.dumps({"validToken": text}).encode()


def _call(server: Server, path: str, bodies: Sequence[bytes], ret: int, at_once: int) -> Calls:
    shares = [bodies[n::at_once] for n in range(at_once)]
    cpu, began = server.cpu, time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        timed = pool.map(
            lambda share: _one_connection(server.ports["app"], path, share, ret), shares
        )
        seconds = [one for each in timed for one in each]
    return Calls(seconds, time.monotonic() - began, server.cpu - cpu)


def _one_connection(port: int, path: str, bodies: Sequence[bytes], ret: int) -> list[float]:
    seconds = []
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        for body in bodies:
            began = time.monotonic()
            connection.request("POST", path, body)
            answer = json.loads(connection.getresponse().read())
            seconds.append(time.monotonic() - began)
            if answer["baseResponse"]["ret"] != ret:
                raise LoadFailed(f"{path} answered {answer}")
    return seconds


def _row(title: str, calls: Calls) -> list[str]:
    count = len(calls.seconds)
    rate, cpu = f"{count / calls.lasted:,.0f}", f"{calls.cpu / count * 1000:.2f}"
    return [title, f"{count:,}", rate, percentiles(calls.seconds), cpu]
