"""Workers as real processes: what a client sees while they die, are drained, are rolled, and stop."""

import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from appmodel.io.listener import bound_to, open_sockets
from tests.appmodel.runtime.running_crew import Callers, ends, greeting, kill, running_crew

QUICK: dict[str, Any] = {"restart__pause": "10ms"}


def test_any_client_lands_on_any_worker_and_each_has_a_port_of_its_own(tmp_path: Path) -> None:
    """A client that knows the owner of its key goes there; any other need not know anything."""
    with running_crew(tmp_path, workers=3) as crew:
        port = crew.ready()
        names = [f"fake-{number}" for number in (1, 2, 3)]

        own = [greeting(crew.own_port(name)) for name in names]
        with Callers(port) as callers:
            for name in names:
                callers.until_answered(name)

        assert own == [f"{name} {crew.pid_of(name)}" for name in names]
        assert set(callers.answers) == set(own)
        assert callers.failures == []


def test_a_worker_that_was_killed_is_back_and_no_client_has_noticed(tmp_path: Path) -> None:
    """Whoever connects meanwhile waits in its socket; its addresses are the same as before."""
    with running_crew(tmp_path, **QUICK) as crew:
        port = crew.ready()
        killed = crew.pid_of("fake-1")
        ports = [crew.own_port("fake-1", name) for name in ("door", "desk", "calls")]
        with Callers(port) as callers:
            callers.until_answered(str(killed))

            kill(killed)

            crew.until("worker ended", worker="fake-1", how="SIGKILL")
            crew.until("worker ready", worker="fake-1")
            callers.until_answered(str(crew.pid_of("fake-1")))
        assert [reset for reset in callers.failures if "refused" in reset] == []
        assert len(callers.failures) <= 2  # those that it had accepted already, one a caller
        assert crew.pid_of("fake-1") != killed
        assert ports == [crew.own_port("fake-1", name) for name in ("door", "desk", "calls")]


def test_a_roll_replaces_all_workers_without_a_failed_connect(tmp_path: Path) -> None:
    """SIGHUP: one after the other, and each new process stands beside the old one until it is ready."""
    with running_crew(tmp_path, workers=3) as crew:
        port = crew.ready()
        before = dict(crew.pids)
        with Callers(port, threads=4) as callers:
            crew.signal(signal.SIGHUP)
            crew.until("rolled")
            for pid in crew.pids.values():
                callers.until_answered(str(pid))

        assert callers.failures == []
        assert all(ends(pid) for pid in before.values())
        assert not set(before.values()) & set(crew.pids.values())
        steps = [
            (line["event"], line["worker"])
            for line in crew.log
            if line["event"] in ("worker ready", "worker ended")
        ][3:]
        assert steps == [
            (event, f"fake-{n}") for n in (1, 2, 3) for event in ("worker ready", "worker ended")
        ]
        ended = [line["how"] for line in crew.log if line["event"] == "worker ended"]
        assert ended == ["exit code 0"] * 3  # they were asked, and have drained


def test_both_processes_of_a_worker_take_calls_while_it_is_rolled(tmp_path: Path) -> None:
    """Other nodes know the old one by its address until it has drained; the new one has another."""
    with running_crew(tmp_path, workers=1) as crew:
        crew.ready()
        before = crew.own_port("fake-1", "calls")

        crew.signal(signal.SIGHUP)
        crew.until("rolled")

        assert crew.own_port("fake-1", "calls") != before
        with pytest.raises(ConnectionRefusedError):
            greeting(before)


@pytest.mark.parametrize(
    ("settings", "how"),
    [
        ({"behaviour": "refuses"}, "exit code 2"),
        ({"behaviour": "dies"}, "exit code 3"),
        ({"behaviour": "never_ready", "boot": "1s", "node__start_timeout": "1s"}, "SIGKILL"),
    ],
)
def test_a_new_worker_that_does_not_get_ready_ends_the_roll(
    tmp_path: Path, settings: dict[str, str], how: str
) -> None:
    """The old ones stay; the log says which worker, why, and who was not rolled."""
    with running_crew(tmp_path) as crew:
        port = crew.ready()
        before = dict(crew.pids)

        crew.configure(**settings)
        crew.signal(signal.SIGHUP)

        stopped = crew.until("roll stopped", worker="fake-1")
        assert stopped["because"] == f"{how} before it was ready"
        assert stopped["not_rolled"] == ["fake-1", "fake-2"]
        with Callers(port) as callers:
            for pid in before.values():
                callers.until_answered(str(pid))
        assert callers.failures == []


def test_wrong_settings_do_not_begin_a_roll(tmp_path: Path) -> None:
    """Nobody is started to find out; when they are right again, the next SIGHUP rolls."""
    with running_crew(tmp_path, workers=1) as crew:
        crew.ready()
        before = dict(crew.pids)

        crew.spoil()
        crew.signal(signal.SIGHUP)
        refused = crew.until("not rolled: wrong settings")
        crew.configure(workers=1)
        crew.signal(signal.SIGHUP)
        crew.until("rolled")

        assert "fake.workers = 'many': expected an integer" in refused["error"]
        assert not set(before.values()) & set(crew.pids.values())


def test_what_needs_a_restart_is_said(tmp_path: Path) -> None:
    """The sockets are held since the start, so a roll cannot move them; it rolls all the same."""
    with running_crew(tmp_path, workers=1) as crew:
        crew.ready()

        crew.configure(workers=2)
        crew.signal(signal.SIGHUP)

        crew.until("new names, addresses and numbers of workers need a restart")
        crew.until("rolled")
        assert set(crew.pids) == {"fake-1"}


def test_a_drained_worker_stays_away_until_it_is_wanted_again(tmp_path: Path) -> None:
    """It is not started again, and its ports are closed: the others get all clients. SIGHUP brings it back."""
    with running_crew(tmp_path) as crew:
        port = crew.ready()
        own = crew.own_port("fake-1")
        with socket.create_connection(("127.0.0.1", own)) as client:
            client.sendall(b"leave\n")
            crew.until("worker is leaving", worker="fake-1")
            crew.until("worker ended", worker="fake-1", how="exit code 0")

        answers = {greeting(port).split()[0] for _ in range(20)}
        with pytest.raises(ConnectionRefusedError):
            greeting(own)
        crew.signal(signal.SIGHUP)
        crew.until("rolled")

        assert answers == {"fake-2"}
        assert greeting(own) == f"fake-1 {crew.pid_of('fake-1')}"


def test_when_all_are_drained_the_supervisor_ends(tmp_path: Path) -> None:
    """There is nobody left to look after, and that is what the operator wished: exit 0."""
    with running_crew(tmp_path) as crew:
        crew.ready()
        for name in ("fake-1", "fake-2"):
            with socket.create_connection(("127.0.0.1", crew.own_port(name))) as client:
                client.sendall(b"leave\n")
                crew.until("worker ended", worker=name)

        assert crew.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_all(tmp_path: Path, number: int) -> None:
    """Then the exit code is 0, and nobody is left."""
    with running_crew(tmp_path) as crew:
        crew.ready()

        crew.signal(number)

        assert crew.end() == 0
        assert all(ends(pid) for pid in crew.pids.values())
        ended = [line["how"] for line in crew.log if line["event"] == "worker ended"]
        assert ended == ["exit code 0", "exit code 0"]


def test_a_worker_may_get_the_signal_too(tmp_path: Path) -> None:
    """systemd sends SIGTERM to every process of a unit: it is one wish, not two."""
    with running_crew(tmp_path) as crew:
        crew.ready()

        for pid in (*crew.pids.values(), crew.process.pid):
            os.kill(pid, signal.SIGTERM)

        assert crew.end() == 0


def test_what_a_terminal_sends_is_for_the_supervisor_alone(tmp_path: Path) -> None:
    """It sends Ctrl-C and its own end to every process of the foreground."""
    with running_crew(tmp_path) as crew:
        crew.ready()

        os.killpg(crew.process.pid, signal.SIGHUP)
        crew.until("rolled")
        os.killpg(crew.process.pid, signal.SIGINT)

        assert crew.end() == 0
        ended = [line["how"] for line in crew.log if line["event"] == "worker ended"]
        assert ended == ["exit code 0"] * 4


def test_a_worker_that_somebody_ended_is_started_again(tmp_path: Path) -> None:
    """Only an operator's drain is a wish for fewer workers; a SIGTERM to a process is none."""
    with running_crew(tmp_path, workers=1, **QUICK) as crew:
        crew.ready()
        before = crew.pid_of("fake-1")

        os.kill(before, signal.SIGTERM)

        crew.until("worker ended", worker="fake-1", how="exit code 0")
        crew.until("worker ready", worker="fake-1")
        assert crew.pid_of("fake-1") != before


def test_who_does_not_stop_is_killed(tmp_path: Path) -> None:
    """After the time to drain and some patience; the exit code tells."""
    settings: dict[str, Any] = {"workers": 1, "behaviour": "hangs", "restart__patience": "0s"}
    settings["node__drain_timeout"] = "1h"
    with running_crew(tmp_path, **settings) as crew:
        crew.ready()
        crew.configure(**settings | {"node__drain_timeout": "100ms"})
        crew.signal(signal.SIGHUP)

        crew.until("worker killed", worker="fake-1", because="it did not stop in time")
        crew.until("rolled")
        crew.signal(signal.SIGTERM)

        assert crew.end() == 1
        assert all(ends(pid) for pid in crew.pids.values())


def test_a_second_signal_waits_for_nobody(tmp_path: Path) -> None:
    """Who presses Ctrl-C twice means it."""
    with running_crew(tmp_path, workers=1, node__drain_timeout="1h", behaviour="hangs") as crew:
        crew.ready()
        crew.signal(signal.SIGINT)
        crew.until("stopping")

        crew.signal(signal.SIGINT)

        crew.until("worker killed", because="a second signal")
        assert crew.end() == 1
        assert all(ends(pid) for pid in crew.pids.values())


def test_a_signal_while_they_start_ends_them(tmp_path: Path) -> None:
    """Nobody is served yet, so there is nobody to wait for."""
    with running_crew(tmp_path, workers=1) as crew:
        crew.until("worker started", worker="fake-1")

        crew.signal(signal.SIGTERM)

        assert crew.end() == 0
        assert all(ends(pid) for pid in crew.pids.values())


def test_no_worker_outlives_its_supervisor(tmp_path: Path) -> None:
    """Even when it had no time to say anything: the workers drain and end."""
    with running_crew(tmp_path) as crew:
        port = crew.ready()

        kill(crew.process.pid)

        assert crew.process.wait() == -signal.SIGKILL
        assert all(ends(pid) for pid in crew.pids.values())
        with pytest.raises(ConnectionRefusedError):
            greeting(port)


def test_a_worker_that_refuses_its_settings_at_the_first_start_ends_all(tmp_path: Path) -> None:
    """An operator who starts it sees at once what is wrong, and exit code 2."""
    with running_crew(tmp_path, behaviour="refuses") as crew:
        assert crew.end() == 2
        assert "fake.behaviour = 'refuses': expected something better" in crew.said


def test_where_everybody_dies_clients_do_not_wait(tmp_path: Path) -> None:
    """At the longest pause the ports are closed between two tries, so that all go to the others."""
    pauses: dict[str, Any] = {"restart__pause": "1h", "restart__max_pause": "1h"}
    with running_crew(tmp_path, **pauses) as crew:
        port = crew.ready()
        own = crew.own_port("fake-1")

        crew.configure(behaviour="dies", **pauses)
        kill(crew.pid_of("fake-1"))
        crew.until("worker starts again", worker="fake-1")
        crew.signal(signal.SIGHUP)
        crew.until("worker starts again", worker="fake-1")

        assert {greeting(port).split()[0] for _ in range(20)} == {"fake-2"}
        with pytest.raises(ConnectionRefusedError):
            greeting(own)
        crew.configure(**pauses)
        crew.signal(signal.SIGHUP)
        crew.until("rolled")
        assert greeting(own) == f"fake-1 {crew.pid_of('fake-1')}"


def test_the_pause_doubles_and_begins_anew_for_one_that_has_served(tmp_path: Path) -> None:
    """So a worker that dies at once does not keep a core busy, and one that dies once a day is back at once."""
    with running_crew(tmp_path, workers=1, restart__pause="4ms", restart__reset_after="1h") as crew:
        crew.ready()

        def pause() -> float:
            kill(crew.pid_of("fake-1"))
            wait = crew.until("worker starts again", worker="fake-1")["seconds"]
            crew.until("worker ready", worker="fake-1")
            return float(wait)

        waits = [pause(), pause(), pause()]
        crew.configure(workers=1, restart__pause="4ms", restart__reset_after="0s")
        crew.signal(signal.SIGHUP)
        crew.until("rolled")
        after = pause()

        assert all(2 * n <= wait * 1000 <= 4 * n for n, wait in zip((1, 2, 4), waits, strict=True))
        assert 2 <= after * 1000 <= 4


def test_the_service_manager_hears_of_the_supervisor_alone(tmp_path: Path) -> None:
    """Ready means: all workers serve. The workers are not the process that it knows."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        path = str(tmp_path / "notify")
        systemd.bind(path)
        with running_crew(tmp_path, {"NOTIFY_SOCKET": path}, workers=1) as crew:
            crew.ready()
            crew.signal(signal.SIGHUP)
            crew.until("rolled")
            crew.signal(signal.SIGTERM)
            crew.end()

        systemd.setblocking(False)
        said = [systemd.recv(100).decode().splitlines()[0] for _ in range(4)]
        with pytest.raises(BlockingIOError):
            systemd.recv(100)
    assert said == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]


def test_a_taken_port_is_a_refusal(tmp_path: Path) -> None:
    """Before any worker is started."""
    [taken] = open_sockets("127.0.0.1", 0)
    with taken, running_crew(tmp_path, desk__port=bound_to([taken]).port - 10) as crew:
        assert crew.end() == 2
        assert crew.log == []
        assert f"127.0.0.1:{bound_to([taken]).port}" in crew.said[0]
