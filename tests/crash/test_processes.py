"""Supervisor and workers: one folder has one server, a worker's death concerns nobody else, nobody is left behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from meadowlark.server.routing import owner_of
from tests.crash.realtime import Gone, Realtime
from tests.harness import Server, alive, eventually, fresh_name

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "data", workers=2) as running:
        yield running


@pytest.mark.parametrize("mode", ["dev", "serve"])
def test_a_second_server_on_the_folder_refuses_and_names_the_first(server: Server, mode: str) -> None:
    server.write("/x", 1, ns="kept")
    second = Server(server.data, mode=mode)
    code, output = second.run_refused()
    assert code != 0
    assert str(server.pid) in output
    assert str(server.data) in output
    assert "Traceback" not in output
    assert server.read("/x", ns="kept") == 1


def test_a_second_server_on_the_port_refuses_and_says_so(server: Server, tmp_path: Path) -> None:
    second = Server(tmp_path / "other")
    second.port = server.port
    code, output = second.run_refused()
    assert code != 0
    assert str(server.port) in output
    assert "Traceback" not in output


def test_other_workers_do_not_notice_a_workers_death(server: Server) -> None:
    """Whoever writes there is answered while the dead one is away."""
    owners = {name: owner_of(name, 2) for name in (fresh_name("apart") for _ in range(100))}
    sides = [[name for name, owner in owners.items() if owner == worker][:4] for worker in range(2)]
    clients = {name: Realtime(server.port, name) for side in sides for name in side}
    written = dict.fromkeys(clients, 0)
    dead: set[str] = set()
    stopping = threading.Event()

    def keep_writing(name: str, client: Realtime) -> None:
        while not stopping.is_set():
            try:
                assert client.ask("p", {"p": "/n", "d": written[name] + 1})["s"] == "ok"
            except Gone:
                dead.add(name)
                return
            written[name] += 1
            time.sleep(0.01)

    threads = [threading.Thread(target=keep_writing, args=pair) for pair in clients.items()]
    for thread in threads:
        thread.start()
    eventually(lambda: min(written.values()) > 2, what="everyone is at work")
    server.kill_worker()
    eventually(lambda: len(dead) == 4, what="the dead worker's clients know")
    before = dict(written)
    for name in sorted(dead):
        # The databases of the dead worker are back, with all that was acknowledged.
        assert server.read("/n", ns=name) >= written[name]
    after = dict(written)
    stopping.set()
    for thread in threads:
        thread.join(60)
    assert sorted(dead) in [sorted(side) for side in sides]
    for name in set(clients) - dead:
        assert after[name] > before[name], "it was answered all the while"
    for client in clients.values():
        client.vanish()


def test_a_killed_worker_is_replaced_at_once(server: Server) -> None:
    name = fresh_name("back")
    server.write("/x", 1, ns=name)
    for _ in range(3):
        pids = server.worker_pids()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert server.read("/x", ns=name) == 1, "whoever connects meanwhile waits and is served"
        server.wait_for_workers(without=set(pids))


def test_workers_whose_supervisor_was_killed_end_themselves_and_lose_nothing(server: Server) -> None:
    name = fresh_name("orphan")
    with Realtime(server.port, name) as client:
        for number in range(200):
            assert client.ask("p", {"p": f"/k{number}", "d": number})["s"] == "ok"
    orphans = server.kill_supervisor()
    eventually(lambda: not any(alive(pid) for pid in orphans), what="orphaned workers gone")
    server.start()
    assert server.read("/", ns=name) == {f"k{number}": number for number in range(200)}


def test_a_restart_right_after_the_supervisor_was_killed_is_refused_or_waits_but_never_shares(server: Server) -> None:
    name = fresh_name("orphan")
    server.write("/x", 1, ns=name)
    orphans = server.kill_supervisor()
    deadline = time.monotonic() + 60
    while True:
        try:
            server.start()
            break
        except AssertionError:
            server._process = None
            assert time.monotonic() < deadline, server.output()
            time.sleep(0.1)
    assert not any(alive(pid) for pid in orphans), "the old workers still live beside the new server"
    assert server.read("/x", ns=name) == 1


def test_a_folder_written_by_one_worker_is_served_by_others(tmp_path: Path) -> None:
    names = [fresh_name("spread") for _ in range(10)]
    server = Server(tmp_path / "data", workers=1)
    try:
        for workers in (1, 3, 2):
            server.workers = workers
            server.start()
            for name in names:
                before = server.read("/", ns=name) or {}
                assert before == {f"by-{count}": name for count in (1, 3, 2)[: (1, 3, 2).index(workers)]}
                server.write(f"/by-{workers}", name, ns=name)
            if workers == 3:
                server.kill()
            else:
                server.stop()
    finally:
        server.close()


def test_sigint_drains_as_sigterm_does(server: Server) -> None:
    server.write("/x", 1, ns="kept")
    process = server._process
    assert process is not None
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    server._forget()
    server.start()
    assert server.read("/x", ns="kept") == 1


def test_clients_are_told_of_a_drain(server: Server) -> None:
    client = Realtime(server.port, fresh_name("drain"))
    client.ask("q", {"p": "/", "h": ""})
    server.stop()
    with pytest.raises(Gone, match=r"1001|1012"):
        client.push()


def test_a_throw_away_folder_is_gone_afterwards() -> None:
    with Server(None) as server:
        server.write("/x", 1, ns="gone")
        assert server.data.is_dir()
        server.stop()
        assert not server.data.exists()
