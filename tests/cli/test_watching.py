"""Long work at a terminal: progress while apt works, and Ctrl-C, which ends only the watching."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Tuple
from urllib.parse import unquote

import pytest

from os_update_agent.cli import main, progress
from os_update_agent.config.settings import load
from os_update_agent.ledger import Ledger
from os_update_agent.node.locks import holder, node_lock, try_lock
from os_update_agent.testing.receiver import Receiver, Reply, Request
from os_update_agent.testing.repository import Deb, Repository
from os_update_agent.testing.rpm_repository import Rpm
from os_update_agent.testing.scene import Scene
from os_update_agent.testing.stage import AptStage, RpmStage

AGENT = Path(__file__).parents[2] / "agent"
PATIENCE = 120.0


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Receiver() as receiver:
        yield Scene(tmp_path, receiver)


def _as_a_shell_starts_it() -> None:
    os.close(os.open(os.ttyname(0), os.O_RDWR))
    # Whoever was started in the background has inherited that Ctrl-C is not for him.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """A command on a pseudo-terminal of its own, which is its controlling one: what is typed there can interrupt it."""

    def __init__(self, scene: Scene, *argv: str, columns: int = 100) -> None:
        self.said = ""
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "os_update_agent", "--config", str(scene.agent_conf), *argv],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=_as_a_shell_starts_it,
            env={**os.environ, "PYTHONPATH": str(AGENT), "COLUMNS": str(columns)},
        )  # fmt: skip
        os.close(slave)

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < end, f"not seen in {PATIENCE:g} s: {self.said}"
            self._read(0.05)

    def end(self) -> int:
        self.wait_for(lambda: self.process.poll() is not None)
        self._read(0.2)
        os.close(self.master)
        self.master = -1
        return self.process.returncode

    def _read(self, seconds: float) -> None:
        if self.master < 0:
            time.sleep(seconds)
            return
        while select.select([self.master], [], [], seconds)[0]:
            try:
                block = os.read(self.master, 65536)
            except OSError:
                return
            self.said += block.decode("utf-8", "replace")


def until(gate: Path) -> Dict[str, str]:
    """Scripts that let a package be configured when the file is there. They run on this very machine."""
    return {"postinst": f"n=0; while [ ! -e {gate} ] && [ $n -lt 1200 ]; do sleep 0.1; n=$((n + 1)); done"}


def slow(scene: Scene) -> Path:
    """A new version of webapp whose configuration goes on when the file that is returned is there."""
    gate = scene.directory / "gate"
    assert isinstance(scene.stage, AptStage)
    scene.stage.repository.add(Deb("webapp", "3.0-1", scripts=until(gate)))
    scene.stage.repository.publish()
    return gate


def test_a_terminal_shows_how_far_apt_is(scene: Scene) -> None:
    gate = slow(scene)
    terminal = Terminal(scene, "update", "v2")
    terminal.wait_for(lambda: "Configuring webapp" in terminal.said)
    gate.touch()
    assert terminal.end() == 0
    assert re.search(r"run 1: update to 'v2'; log \S+/000001\.log\r\n", terminal.said)
    assert re.search(r"\r\x1b\[Ktransact +\d+ % 1 of 1: Configuring webapp \(\w+\)", terminal.said)
    assert "\x1b[Krefresh" in terminal.said or "\x1b[Kplan" in terminal.said or "\x1b[Kfetch" in terminal.said
    # The line of the progress is wiped before the result.
    assert "\x1b[Kupdated to 'v2': 1 package changed" in terminal.said


def behind(mirror: Receiver, scene: Scene, waits: Callable[[str], bool], seen: threading.Event) -> None:
    """Have a mirror serve the repository; what it is to wait with comes when the terminal has shown what was to be
    seen.
    """
    assert isinstance(scene.stage, AptStage)
    repository = scene.stage.repository

    def serve(request: Request) -> Reply:
        file = repository.directory / unquote(request.path).lstrip("/")
        if not file.is_file():
            return 404
        if waits(file.name):
            assert seen.wait(PATIENCE)
        return 200, file.read_bytes()

    mirror.answer(serve)
    (scene.root / "etc/apt/sources.list").write_text(f"{repository.source_line(mirror.url())}\n", encoding="utf-8")


def test_a_terminal_shows_what_apt_downloads(scene: Scene) -> None:
    assert isinstance(scene.stage, AptStage)
    scene.stage.repository.add(Deb("webapp", "3.0-1"))
    scene.stage.repository.publish()
    seen, asked = threading.Event(), []

    def is_second(name: str) -> bool:
        # A file is named when it begins to come: the one that is here stays in sight until the next one begins.
        asked.extend([name] if name.endswith(".deb") else [])
        return len(asked) > 1

    with Receiver() as mirror:
        behind(mirror, scene, is_second, seen)
        terminal = Terminal(scene, "update", "v2")
        terminal.wait_for(
            lambda: re.search(r"Kfetch +\d+ % 2 of 2: Downloading webapp [13]\.0-1", terminal.said) is not None
        )
        seen.set()
        assert terminal.end() == 0
    assert not (scene.directory / "run/work/progress").exists()


def interrupt(scene: Scene, gate: Path) -> None:
    """Leave two packages as a dpkg does that was ended before it configured them."""
    made = Repository(scene.directory / "by-hand")
    made.add(*(Deb(name, "1.0-1", scripts=until(gate)) for name in ("first", "second")))
    subprocess.run([*dpkg_of(scene), "--unpack", *made.directory.glob("*.deb")], check=True, stdout=subprocess.DEVNULL)


def dpkg_of(scene: Scene) -> List[str]:
    """A dpkg that somebody else starts on the node."""
    options = ("--force-not-root", "--force-bad-path", "--force-script-chrootless")
    return ["dpkg", f"--root={scene.root}", f"--log={scene.root}/dpkg.log", *options]


def test_a_terminal_shows_what_is_repaired_and_what_of_the_index_comes(scene: Scene) -> None:
    """Of a delivery that is replayed, as of an update by hand."""
    gate, seen = scene.directory / "gate", threading.Event()
    interrupt(scene, gate)
    file = deployed(scene, "UPDATE", "v2")
    with Receiver() as mirror:
        behind(mirror, scene, lambda name: name == "Packages", seen)
        terminal = Terminal(scene, "replay", "--no-signal", file)
        terminal.wait_for(lambda: "\x1b[Kcheck 1 of 2: Setting up first (1.0-1)" in terminal.said)
        gate.touch()
        terminal.wait_for(
            lambda: re.search(r"Krefresh +\d+ % \d of \d: Downloading \./ Release", terminal.said) is not None
        )
        seen.set()
        assert terminal.end() == 0
    assert "an earlier interruption was repaired: first, second" in terminal.said


@pytest.mark.parametrize("quiet", [False, True])
def test_a_terminal_shows_that_a_plan_refreshes_the_index(scene: Scene, quiet: bool) -> None:
    seen = threading.Event()
    with Receiver() as mirror:
        behind(mirror, scene, lambda name: name == "Packages", seen)
        terminal = Terminal(scene, "plan", *(["--quiet"] if quiet else []))
        if not quiet:
            terminal.wait_for(
                lambda: re.search(r"Krefresh +\d+ % \d of \d: Downloading \./ Release", terminal.said) is not None
            )
        seen.set()
        assert terminal.end() == 0
    assert ("\x1b[K" in terminal.said) != quiet
    assert ("" if quiet else "\x1b[K") + "an update would change nothing\r\n" in terminal.said


def test_ctrl_c_ends_a_plan_and_the_apt_that_it_has_started(scene: Scene) -> None:
    seen = threading.Event()
    with Receiver() as mirror:
        behind(mirror, scene, lambda name: name == "Packages", seen)
        terminal = Terminal(scene, "plan")
        terminal.wait_for(lambda: "\x1b[Krefresh" in terminal.said)
        os.write(terminal.master, b"\x03")
        assert terminal.end() == 128 + signal.SIGINT and "Traceback" not in terminal.said
        terminal.wait_for(lambda: not holder(scene.root / "var/lib/apt/lists/lock"))
        seen.set()


def test_ctrl_c_is_answered_in_one_line_while_python_still_reads_the_program(tmp_path: Path) -> None:
    (tmp_path / "argparse.py").write_text(
        "import time\nprint('importing', flush=True)\ntime.sleep(60)\n", encoding="utf-8"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "os_update_agent", "status"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{AGENT}"},
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate()[1] == "os-update-agent: interrupted before anything was begun\n"
    assert process.returncode == 128 + signal.SIGINT


def test_a_plan_says_that_a_run_is_at_work(scene: Scene) -> None:
    gate, seen = slow(scene), threading.Event()

    def plan() -> Tuple[int, str]:
        terminal = Terminal(scene, "plan", "--quiet", "--no-refresh")
        return terminal.end(), terminal.said

    with Receiver() as mirror:
        behind(mirror, scene, lambda name: name.endswith(".deb"), seen)
        terminal = Terminal(scene, "update", "v2")
        terminal.wait_for(lambda: "\x1b[Kfetch" in terminal.said)
        status, said = plan()
        holder = r"deployment by-hand-\S+ \(UPDATE\) \(process \d+\)"
        assert status == 0 and "\r\n  webapp: 1.0-1 -> 3.0-1\r\n" in said
        assert re.search(rf"\r\nat work: {holder}\r\nopen: run 1 \(update 'v2'\) is in phase fetch; log: ", said)
        seen.set()
        terminal.wait_for(lambda: "Configuring webapp" in terminal.said)
        # What is not configured yet is no interruption that somebody has to mend.
        status, said = plan()
        assert status == 75 and re.search(
            rf"while somebody is at work on the packages: {holder}\r\nnext: try again later", said
        )
        # The locks that its own apt and dpkg hold are nobody else's.
        terminal_of_status = Terminal(scene, "status")
        assert terminal_of_status.end() == 0 and re.search(
            rf"\r\nat work: {holder}\r\nopen: run 1 ", terminal_of_status.said
        )
        gate.touch()
        assert terminal.end() == 0
        status, said = plan()
        assert status == 0 and "at work" not in said and "would change nothing" in said


def test_a_plan_and_the_status_name_a_dpkg_that_is_at_work(scene: Scene) -> None:
    gate = scene.directory / "gate"
    made = Repository(scene.directory / "by-hand")
    made.add(Deb("first", "1.0-1", scripts=until(gate)))
    dpkg = subprocess.Popen([*dpkg_of(scene), "--install", *made.directory.glob("*.deb")], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: "half-configured" in states(scene))
        holder = rf"dpkg \(process {dpkg.pid}\) holds \S+/var/lib/dpkg/lock"
        status, said = run(scene, "plan", "--quiet", "--no-refresh")
        assert status == 75, said
        assert re.search(
            rf"^os-update-agent: no plan can be made while somebody is at work on the packages: {holder}\S*\r\nnext: ",
            said,
        )
        status, said = run(scene, "status")
        assert status == 0 and re.search(rf"\r\nat work: {holder}\S*\r\nowed ", said)
        # A run that waits for it does not hide it.
        update = Terminal(scene, "update", "v2")
        update.wait_for(lambda: "\x1b[Kcheck" in update.said)
        status, said = run(scene, "status")
        ours = r"deployment by-hand-\S+ \(UPDATE\) \(process \d+\)"
        assert status == 0 and re.search(
            rf"\r\nat work: {ours}; {holder}\S*\r\nopen: run 1 \(update 'v2'\) is in phase check; ", said
        )
        gate.touch()
        assert update.end() == 0
    finally:
        gate.touch()
        dpkg.wait()
    assert "\r\nat work: nobody\r\n" in run(scene, "status")[1]


def test_a_plan_says_that_an_update_repairs_what_an_interruption_left(scene: Scene) -> None:
    gate = slow(scene)
    gate.touch()
    interrupt(scene, gate)
    status, said = run(scene, "plan", "--quiet", "--detailed-exitcode")
    assert status == 100 and "\r\n  webapp: 1.0-1 -> 3.0-1\r\n" in said
    assert "\r\nan earlier transaction was not completed (first, second); that is repaired first" in said
    assert run(scene, "update", "--quiet", "v2")[0] == 0 and "unpacked" not in states(scene)
    assert "repaired first" not in run(scene, "plan", "--quiet")[1]


def test_where_no_plan_can_be_made_before_a_repair_that_is_told(scene: Scene) -> None:
    gate = slow(scene)
    gate.touch()
    assert isinstance(scene.stage, AptStage)
    scene.stage.repository.add(Deb("needed", "1.0-1"))
    scene.stage.repository.publish()
    made = Repository(scene.directory / "by-hand")
    made.add(Deb("first", "1.0-1", fields={"Depends": "needed"}))
    subprocess.run([*dpkg_of(scene), "--unpack", *made.directory.glob("*.deb")], check=True, stdout=subprocess.DEVNULL)
    status, said = run(scene, "plan", "--quiet")
    told = "an earlier transaction was not completed (first); an update tries to repair that first"
    assert status == 1 and f"{told}, and what it changes then cannot be told before: unmet dependencies: " in said
    assert "first needs needed, which is not installed (apt-get --fix-broken install)" in said


def test_a_history_fits_the_terminal_that_it_is_read_on(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    slow(scene).touch()
    assert run(scene, "update", "--quiet", "2026-11-24T10:00:00Z")[0] == 0
    terminal = Terminal(scene, "history", columns=80)
    assert (
        terminal.end() == 0
        and "\r\nleft out here: TRIED, SECONDS, HELD ('history | cat' shows all)\r\n" in terminal.said
    )
    assert max(len(line) for line in terminal.said.split("\r\n") if not line.startswith("logs: ")) <= 80
    assert main.main(["--config", str(scene.agent_conf), "history"]) == 0
    piped = capsys.readouterr().out
    assert "SECONDS" in piped and "left out" not in piped


def run(scene: Scene, *argv: str) -> Tuple[int, str]:
    terminal = Terminal(scene, *argv)
    return terminal.end(), terminal.said


def states(scene: Scene) -> str:
    argv = ["dpkg-query", f"--admindir={scene.root}/var/lib/dpkg", "--show", "--showformat=${db:Status-Status}\n"]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_who_waits_for_the_node_is_shown_who_is_at_work(scene: Scene) -> None:
    settings = load(str(scene.agent_conf))
    with try_lock(settings.worker_lock), node_lock(settings.lock, doing="prune by hand", timeout=0.0):
        terminal = Terminal(scene, "update", "v1")
        terminal.wait_for(
            lambda: re.search(r"Kwaiting, \d s; at work: prune by hand \(process \d+\)", terminal.said) is not None
        )
        impatient = Terminal(scene, "update", "v2")
        impatient.wait_for(lambda: "\x1b[Kwaiting" in impatient.said)
        pruning = Terminal(scene, "prune")
        pruning.wait_for(lambda: "s; at work: prune by hand" in pruning.said)
        os.write(impatient.master, b"\x03")
        assert impatient.end() == 128 + signal.SIGINT
        assert (
            "given up before it was begun; nothing was changed\r\nnext: 'os-update-agent status' says "
            in impatient.said
        )
    assert terminal.end() == 0 and pruning.end() == 0
    assert "\x1b[Krun 1: update to 'v1'" in terminal.said and "waiting" not in terminal.said.partition("\x1b[Krun 1")[2]


def deployed(scene: Scene, action: str, value: str) -> str:
    """A delivery's file, as heat-config keeps it."""
    file = scene.directory / "deployed.json"
    file.write_text(json.dumps(scene._deployment(action, value)), encoding="utf-8")
    return str(file)


SENDING = "\r\x1b[Ksending the result to Heat; last answer: the server answered 503"


def test_a_terminal_shows_that_a_result_is_being_sent_when_the_run_is_over(scene: Scene) -> None:
    slow(scene).touch()
    scene.receiver.answer(503)
    terminal = Terminal(scene, "replay", deployed(scene, "UPDATE", "v2"))
    terminal.wait_for(lambda: SENDING in terminal.said)
    scene.receiver.answer(200)
    assert terminal.end() == 0
    assert "\x1b[Krun 1: update to 'v2'" in terminal.said.partition(SENDING)[0]
    assert re.search(
        r"\x1b\[Kupdated to 'v2': .*\nsignal delivered: deployment \S+: the server answered 200\r\n$",
        terminal.said,
        re.DOTALL,
    )


def test_ctrl_c_while_a_result_is_being_sent_says_that_it_is_owed(scene: Scene) -> None:
    """Not that a run goes on: it is over."""
    scene.receiver.answer(503)
    for argv in (("replay", deployed(scene, "CREATE", "v1")), ("resume", "--patience", "600")):
        terminal = Terminal(scene, *argv)
        terminal.wait_for(lambda terminal=terminal: SENDING in terminal.said)  # type: ignore[misc]
        os.write(terminal.master, b"\x03")
        assert terminal.end() == 128 + signal.SIGINT
        said = terminal.said.rpartition("\x1b[K")[2]
        assert said.startswith("os-update-agent: no longer sending; the work itself is done: signal owed: deployment ")
        assert (
            "the server answered 503; 'os-update-agent resume' tries again\r\nnext: " in said and "goes on" not in said
        )


def test_who_waits_for_resume_elsewhere_than_at_a_terminal_is_told_the_last_answer(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0.3)
    with scene.agent_conf.open("a", encoding="utf-8") as file:
        file.write("[defaults]\nsignal_timeout = 0.5\n")
    scene.receiver.answer(503)
    assert main.main(["--config", str(scene.agent_conf), "replay", "--quiet", deployed(scene, "CREATE", "v1")]) == 1
    assert capsys.readouterr().err == ""
    assert main.main(["--config", str(scene.agent_conf), "resume", "--patience", "3"]) == 1
    said = capsys.readouterr()
    assert re.search(
        r"^\d{4}-\S+Z sending the result to Heat; last answer: the server answered 503$", said.err, re.MULTILINE
    )
    assert said.out.startswith("still owed: deployment ")


# rpm runs Lua inside the root, which has no shell.
WAITS = 'local n = 0; while not posix.stat("/gate") and n < 120 do posix.sleep(1); n = n + 1 end'


def test_a_terminal_shows_what_dnf_downloads_and_does(tmp_path: Path) -> None:
    with Receiver() as mirror, Receiver() as heat:
        scene = Scene(tmp_path, heat, "dnf")
        assert isinstance(scene.stage, RpmStage)
        repository, seen = scene.stage.repository, threading.Event()

        def serve(request: Request) -> Reply:
            if "3.0" in request.path:
                # The new packages come when the terminal has shown that they are downloaded.
                assert seen.wait(PATIENCE)
            file = repository.directory / request.path.lstrip("/")
            return (200, file.read_bytes()) if file.is_file() else 404

        mirror.answer(serve)
        repository.add(Rpm("libweb", "3.0"), Rpm("webapp", "3.0", scripts={"post": WAITS}))
        repository.publish()
        (scene.root / "etc/yum.repos.d/demo.repo").write_text(repository.section(mirror.url()), encoding="utf-8")
        terminal = Terminal(scene, "update", "v2")
        # The last one that was begun: of the old packages, say, which come at once.
        terminal.wait_for(
            lambda: re.search(r"Kfetch +\d+ % \d of \d: Downloading \w+-[13].0-1", terminal.said) is not None
        )
        seen.set()
        terminal.wait_for(lambda: re.search(r"Ktransact +\d+ % \d of \d: [A-Z][\w ]+-3.0-1", terminal.said) is not None)
        (scene.root / "gate").touch()
        assert terminal.end() == 0
        assert "\x1b[Kupdated to 'v2': 2 packages changed" in terminal.said
        assert not (tmp_path / "run/work/progress").exists()


def test_ctrl_c_ends_the_watching_and_never_the_transaction(scene: Scene) -> None:
    gate = slow(scene)
    terminal = Terminal(scene, "update", "v2")
    terminal.wait_for(lambda: "Configuring webapp" in terminal.said)
    os.write(terminal.master, b"\x03")
    assert terminal.end() == 128 + signal.SIGINT
    assert (
        "no longer watching; run 1 goes on (phase transact; log " in terminal.said
        and "os-update-agent status" in terminal.said
    )
    assert "Traceback" not in terminal.said

    # resume looks on again; nor does it take the run with it.
    terminal = Terminal(scene, "resume")
    terminal.wait_for(lambda: "Configuring webapp" in terminal.said)
    os.write(terminal.master, b"\x03")
    assert terminal.end() == 128 + signal.SIGINT
    assert "a run that was begun goes on" in terminal.said and "Traceback" not in terminal.said

    terminal = Terminal(scene, "resume")
    terminal.wait_for(lambda: "Configuring webapp" in terminal.said)
    gate.touch()
    assert terminal.end() == 0
    assert "\x1b[Krun 1 (update 'v2') has ended, success; log: " in terminal.said
    ledger = Ledger(scene.directory / "state" / "ledger.sqlite")
    assert ledger.runs(limit=1)[0].result == "success"
    assert {package.name: package.version for package in scene.state().packages}["webapp"] == "3.0-1"
