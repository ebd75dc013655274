"""The command line on a real node: a private root with real packages, as an operator would use it."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Iterator, Optional, Tuple

import pytest

from cli.documents import documented, names_in
from os_update_agent.cli import main
from os_update_agent.config.policy import Policy
from os_update_agent.config.settings import load
from os_update_agent.ledger import Ledger
from os_update_agent.model.deliveries import Delivery, Request, SignalTarget
from os_update_agent.model.errors import PackageError
from os_update_agent.model.runs import Run
from os_update_agent.node.locks import node_lock, try_lock
from os_update_agent.packages.disk_space import check_space
from os_update_agent.testing.pkg import Pkg
from os_update_agent.testing.receiver import Receiver
from os_update_agent.testing.scene import BROKEN, FIRST, NOVEMBER, SECOND, THIRD, Scene
from packages.services import Services

AGENT = Path(__file__).parents[2] / "agent"
Command = Callable[..., Tuple[int, str, str]]
AT_REST = "at work: nobody\nowed to Heat: nothing\nreboot required: no\n"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Receiver() as receiver:
        yield Scene(tmp_path, receiver)


@pytest.fixture
def command(scene: Scene, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("PYTHONPATH", str(AGENT))

    def call(*argv: str) -> Tuple[int, str, str]:
        capfd.readouterr()
        try:
            status = main.main(["--config", str(scene.agent_conf), *argv])
        except SystemExit as end:
            status = int(end.code or 0)
        out, err = capfd.readouterr()
        return status, out, err

    return call


def document(out: str, command: str = "") -> Any:
    found = json.loads(out)
    assert found["schema"] == 1
    if command:
        assert set(found) - {"schema"} == documented(command)
        readme = (Path(__file__).parents[2] / "README.rst").read_text(encoding="utf-8")
        assert [name for name in names_in(found) if f"``{name}``" not in readme] == []
    return found


def test_without_a_command_the_status_is_told(command: Command) -> None:
    assert command() == command("status") == (0, f"nothing has been recorded on this node yet\n{AT_REST}", "")


def test_damaged_marks_of_apt_are_no_bug(scene: Scene, command: Command) -> None:
    """apt reads such a file, too: it passes over a stanza without a name, and does not look at the encoding."""
    before = scene.state()
    marks = scene.root / "var/lib/apt/extended_states"
    content = marks.read_bytes() if marks.exists() else b""
    marks.parent.mkdir(parents=True, exist_ok=True)
    marks.write_bytes(b"Auto-Installed: 1\n\nPackage: caf\xe9\nAuto-Installed: 1\n\n" + content)
    assert scene.state() == before
    scene.publish(*NOVEMBER)
    assert command("plan", "--detailed-exitcode")[0] == 100


def test_by_hand_a_node_goes_forth_and_back_as_by_heat(scene: Scene, command: Command) -> None:
    start = scene.state()
    scene.publish(*NOVEMBER)

    status, out, _ = command("plan", "--detailed-exitcode")
    assert status == 100
    assert (
        "webapp: 1.0-1 -> 2.0-1" in out and "held back (1):\n  database: on hold" in out and "can be undone: yes" in out
    )
    assert "removed (1):\n" in out and "\n4 changed, 2 new, 1 removed, 1 held back" in out
    assert scene.state() == start

    status, out, err = command("update", SECOND)
    # Nobody watches at a terminal: dated lines.
    assert status == 0 and re.search(r"^\d{4}-\d\d-\d\dT\S+Z run 1: transact$", err, re.MULTILINE), err
    assert f"updated to '{SECOND}': 7 packages changed" in out
    reached = scene.state()
    assert command("plan", "--detailed-exitcode")[0] == 0

    status, out, err = command("update", "--quiet", SECOND)
    assert err == ""
    assert status == 0 and "the node stands at this value already" in out

    scene.withdraw(*(deb for deb in NOVEMBER if deb.name == "webapp"))
    scene.publish(*BROKEN)
    status, out, err = command("update", "v3")
    # The end of the log is for Heat: here the file is named, and what to do next.
    assert status == 1 and "the update was undone" in err and "Setting up" not in err
    *_, advice, log = err.splitlines()
    assert advice == "next: fix the cause named above, then send the same value again"
    assert (
        log == f"full log on the node: {scene.directory}/log/000002.log"
        and "Setting up" in Path(log.rpartition(" ")[2]).read_text()
    )
    assert scene.state() == reached

    status, out, _ = command("rollback", SECOND)
    assert status == 0 and "0 packages changed" in out
    status, out, err = command("rollback", "v3")
    assert status == 2 and "never reached" in err
    assert scene.state() == reached


def test_heat_and_hand_share_one_history(scene: Scene, command: Command) -> None:
    baseline = scene.state()
    scene.deliver("CREATE", FIRST)
    scene.publish(*NOVEMBER)
    scene.deliver("UPDATE", SECOND)

    status, out, _ = command("history")
    assert status == 0 and re.search(rf"\*  '{SECOND}'", out) and FIRST in out
    assert out.endswith(f"\nlogs: {scene.directory}/log/NNNNNN.log, by the number of the run\n")
    assert "plan" not in out

    status, out, _ = command("plan", FIRST)
    assert status == 0 and f"the way back to '{FIRST}' would change:" in out and "webapp: 2.0-1 -> 1.0-1" in out

    assert command("rollback", FIRST)[0] == 0
    assert scene.state().digest == baseline.digest
    answer, _ = scene.deliver("UPDATE", FIRST)
    assert "the node stands at this value already" in answer["deploy_stdout"]


def test_a_plan_for_a_moment_before_all_others_is_what_an_update_does(scene: Scene, command: Command) -> None:
    start, (older, first) = scene.state(), ("2026-11-10T00:00:00Z", "2026-11-20T00:00:00Z")
    scene.publish(*NOVEMBER)
    assert command("update", first, "--key", "m")[0] == 0
    found = document(command("plan", older, "--key", "m", "--json")[1], "plan")
    assert (found["operation"], len(found["changes"])) == ("restore", 7) and "older than every known one" in found[
        "why"
    ]
    out = command("plan", older, "--key", "m")[1]
    why = "this value is older than every known one: the state before the first update"
    assert out.startswith(f"the way back to '{older}' ({why}) would change:\n") and "webapp: 2.0-1 -> 1.0-1" in out
    out = command("update", older, "--key", "m")[1]
    assert out.startswith(f"restored '{older}': 7 packages changed; the state from before the first update is back\n")
    assert scene.state() == start
    # A value that the node stands at: an update does nothing, and a rollback puts it right.
    out = command("plan", older, "--key", "m")[1]
    why = "by rollback; an update does nothing: the node stands at this value already"
    assert out.startswith(f"the way back to '{older}' ({why}) would change nothing\n")


def test_every_recorded_state_has_a_name(scene: Scene, command: Command) -> None:
    start = scene.state()
    scene.publish(*NOVEMBER)
    assert command("update", "-q", "v1", "--key", "web/one")[0] == 0
    first = scene.state()
    assert first != start

    # The state before the first update by hand.
    _, out, _ = command("history", "--key", "web")
    assert re.search(r"^  +'\(before v1\)'  -  +-  +kept  +-$", out, re.MULTILINE), out
    for name in ("(before v1)", "before", "run:1", "2026-01-01"):
        status, out, err = command("plan", name, "--json")
        found = document(out, "plan")
        assert status == 0 and found["operation"] == "restore"
        assert (f"{name}' is taken as" in err) == (name != "(before v1)")
        assert len(found["changes"]) == (0 if name == "run:1" else 7), name
    assert command("diff", "before", "now")[1] == command("diff", "(before v1)", "run:1")[1] != "no difference\n"
    _, out, _ = command("show", "before")
    assert out.startswith("'(before v1)': the state before a run\nstate: ") and "\npackage files: kept\n" in out
    assert command("show", "#1")[1] == command("show", "v1")[1]

    status, out, err = command("rollback", "-q", "before", "--key", "web")
    assert status == 0, err
    assert "--key 'web' is taken as 'web/one'" in err and "'before' is taken as '(before v1)'" in err
    assert "the state from before the first update is back" in out and scene.state() == start
    assert re.search(r"\*  '\(before v1\)'", command("history")[1])
    assert "web/one: at '(before v1)'\n  if 'v1' comes: restore" in command("status")[1]

    # The last change was that rollback.
    assert "the way back to 'v1'" in command("plan", "--last")[1]
    assert command("rollback", "-q", "--last")[0] == 0
    assert scene.state() == first

    # A state between two runs that no value has any more.
    scene.publish(Pkg("clock", "2.0", epoch="1"))
    assert command("update", "-q", "v2")[0] == 0
    second = scene.state()
    scene.stage.hold(Pkg("monitor", "2.0"))
    assert command("rollback", "-q", "v1")[0] == 0
    status, out, err = command("rollback", "-q", "--last")
    assert status == 0 and "'(before run:5)'" in err, err
    assert out.startswith("restored '(before run:5)': ") and "the state that run 5 found is back" in out
    assert scene.state() != second and command("diff", "(before run:5)", "now")[1] == "no difference\n"


def test_what_names_no_state_is_told_and_changes_nothing(scene: Scene, command: Command) -> None:
    scene.publish(*NOVEMBER)
    assert command("update", "-q", "v1", "--key", "web/one")[0] == 0
    assert command("update", "-q", "v2", "--key", "web/one")[0] == 0
    assert command("update", "-q", "1", "--key", "db")[0] == 0
    state = scene.state()
    for argv, why in (
        (("rollback", "v"), "'v' could be each of 'v1', 'v2'"),
        (("rollback", "v3"), "'v3' is not recorded under 'web/one'; recorded values: '(before v1)', 'v1', 'v2'"),
        (("rollback", "run:3"), "run 3 is no recorded run of 'web/one'"),
        (("rollback",), "give either VALUE"),
        (("rollback", "v1", "--last"), "give either VALUE"),
        (("update", "run:1"), "form of a recorded state's name"),
        (("update", "(before v1)"), "form of a recorded state's name"),
    ):
        status, out, err = command(*argv, "--key", "web/one")
        assert (status, out) == (2, "") and why in err, (argv, err)
    status, _, err = command("update", "v9", "--key", "web")
    assert status == 2 and "'web' is not recorded, and 'web/one' begins with it" in err
    # A new value is an update, and the plan says so.
    _, out, _ = command("plan", "2030-01-01", "--key", "web/one", "--no-refresh")
    assert out.startswith("an update to '2030-01-01' (this value is new) would change nothing"), out
    assert scene.state() == state


def test_the_reading_commands_give_documents(scene: Scene, command: Command) -> None:
    scene.deliver("CREATE", FIRST)
    scene.publish(*NOVEMBER)
    found = document(command("plan", "--json")[1], "plan")
    assert len(found["changes"]) == 7 and not any(change["security"] for change in found["changes"])
    scene.deliver("UPDATE", SECOND)

    found = document(command("status", "--json")[1], "status")
    assert (
        found["keys"][0]["current"] == SECOND and found["last_run"]["result"] == "success" and found["at_work"] is None
    )
    assert found["last_run"]["changed"] == 7
    assert [(one["value"], one["do"], one["packages"]) for one in found["keys"][0]["if_it_came"]] == [
        *((FIRST, "restore", 7), (SECOND, "nothing", 0), (None, "update", None)),
    ]
    assert f"if '{FIRST}' comes: restore (7 packages change)" in command("status")[1]
    found = document(command("history", "--json")[1], "history")
    assert [value["value"] for value in found["keys"][0]["values"]] == [FIRST, SECOND]
    found = document(command("show", SECOND, "--json")[1], "show")
    assert found["digest"] == scene.state().digest and len(found["changes"]) == 7
    found = document(command("diff", FIRST, "now", "--json")[1], "diff")
    assert {change["name"] for change in found["changes"]} >= {"webapp", "metrics", "metrics-old"}
    assert command("diff", SECOND, "now")[1] == "no difference\n"
    found = document(command("plan", "--json", "--no-refresh")[1], "plan")
    assert found["changes"] == [] and found["held_back"] == [{"name": "database", "reason": "on hold"}]


def test_a_plan_of_another_operation_says_what_that_does(scene: Scene, command: Command) -> None:
    scene.publish(*NOVEMBER)
    status, out, _ = command("plan", "--set", "operation=download", "--detailed-exitcode")
    assert status == 100 and out.startswith("a download would fetch what this update takes, and change no package:\n")
    assert "webapp: 1.0-1 -> 2.0-1" in out and "reboot" not in out and "can be undone" not in out
    size = re.search(r"^download: (.*)$", out, re.MULTILINE)
    assert size and command("update", "v2", "--set", "operation=download")[0] == 0
    status, out, _ = command("plan", "v3", "--set", "operation=download")
    assert status == 0 and out.startswith("a download for 'v3' would fetch") and "\ndownload: 0 B\n" in out
    assert command("plan", "--set", "operation=assess")[1].startswith(
        "an assessment would report this update, and change no package:\n"
    )


def test_a_plan_of_a_stop_looks_at_the_services(scene: Scene, command: Command, tmp_path: Path) -> None:
    stop = ("--set", "operation=stop", "--set", "units=db, web")
    # Those of this machine are not those of the root.
    status, out, err = command("plan", *stop)
    assert (status, out) == (1, "") and "are not those of this machine" in err
    services = Services(tmp_path / "systemd", "db.service", "web.service")
    services.set("web.service", "inactive")
    settings = scene.agent_conf.read_text(encoding="utf-8")
    scene.agent_conf.write_text(
        settings.replace("[node]\n", f"[node]\nsystemctl = {services.program}\n"), encoding="utf-8"
    )
    told = "would stop services, and touch no package:\n  db.service: active\n  web.service: inactive, and stays so\n"
    assert command("plan", *stop, "--detailed-exitcode") == (100, f"a stop {told}", "")
    found = document(command("plan", *stop, "--json")[1], "plan")
    assert (found["operation"], found["changes"]) == ("stop", [])
    assert found["units"][0] == {"name": "db.service", "active": "active", "changes": True}
    # Nothing was stopped by that; now it is.
    assert services.state("db.service") == "active" and command("update", "v1", *stop)[0] == 0
    assert command("update", "v2", *stop)[0] == 0 and services.state("db.service") == "inactive"
    status, out, _ = command("plan", "v2", *stop)
    assert (status, out) == (
        0,
        "a stop for 'v2' would do nothing: this is the current value already, so no service is touched\n",
    )
    status, out, _ = command("plan", "v1", *stop, "--detailed-exitcode")
    assert status == 100 and out.startswith(
        "a stop for 'v1' would start services, and touch no package (an old value is back: "
    )
    status, _, err = command("plan", "--set", "operation=stop", "--set", "units=none")
    assert status == 1 and "systemd knows no none.service" in err


def test_from_between_two_values_no_number_is_promised(scene: Scene, command: Command) -> None:
    scene.deliver("CREATE", FIRST)
    # With a webapp that cannot be configured.
    scene.publish(*NOVEMBER, *BROKEN)
    assert command("update", "v2", "--set", "on_failure=keep")[0] == 1
    out = command("status")[1]
    assert (
        ": at no recorded value: the last run ended in between\n" in out and f"\n  if '{FIRST}' comes: restore\n" in out
    )
    ahead = document(command("status", "--json")[1], "status")["keys"][0]["if_it_came"]
    assert [(one["value"], one["do"], one["packages"]) for one in ahead] == [
        (FIRST, "restore", None),
        (None, "update", None),
    ]


def test_options_of_the_command_line_restrict_an_update(scene: Scene, command: Command) -> None:
    scene.publish(*NOVEMBER)
    status, out, _ = command("update", "v2", "--packages", "clo*", "--set", "archive=required")
    assert status == 0 and "1 package changed" in out
    assert {package.name: package.version for package in scene.state().packages}["webapp"] == "1.0-1"


def test_a_wrong_option_is_named_and_nothing_is_done(scene: Scene, command: Command) -> None:
    before = scene.state()
    for argv, words in (
        (("update", "v2", "--set", "keep=none"), "keep"),
        (("update", "v2", "--set", "keeep=5"), "keeep"),
        (("update", "v2", "--set", "keep"), "OPTION=VALUE"),
        (("update", "v2", "--packages=-rf"), "-rf"),
        (("show", "v9"), "'v9' is not recorded"),
        (("update",), "VALUE"),
        (("update", ""), "stands for no value"),
        (("update", "v2", "--key", ""), "--key '' is empty; give a recorded key"),
        (("update", "v2", "--set", "key=v"), "there is no option 'key'"),
        (("update", "v2", "--set", "value=v"), "there is no option 'value'"),
        (("update", "v2", "--set", "defaults=v"), "there is no option 'defaults'"),
        (("update", "v2", "--set", "state_key=v"), "--key says whose history"),
        (("update", "v2", "--set", "trigger="), "by hand the value is VALUE"),
        (("update", "v2", "--packages", ""), "--packages '' names no package"),
        (("update", "v2", "--packages", "clock", "--packages", ""), "--packages '' names"),
        (("update", "v2", "--exclude", " "), "--exclude ' ' names no package"),
        (("update", "v2", "--set", "packages="), "the value is empty"),
        (("update", "v2", "--set", "exclude=, "), "the value is empty"),
        (("history", "--limit", "-1"), "whole number"),
        (("history", "--key", "none"), "nothing is recorded under 'none'"),
    ):
        status, _, err = command(*argv)
        assert status == 2 and words in err, argv
        assert err.startswith("os-update-agent: ") and err.count("\nnext: ") == 1, argv
    assert scene.state() == before


def test_what_is_wrong_in_the_words_of_the_command_line_ends_with_what_to_do_next(command: Command) -> None:
    for argv, words, helping in (
        (("updaet", "v2"), "'updaet'", "os-update-agent"),
        (("--colour",), "--colour", "os-update-agent"),
        (("plan", "--colour"), "--colour", "os-update-agent plan"),
        (("plan", "--select", "most"), "'most'", "os-update-agent plan"),
        (("diff", "now"), "B", "os-update-agent diff"),
        *(
            (("resume", "--patience", text), f"'{text}'", "os-update-agent resume")
            for text in ("long", "nan", "-5", "inf")
        ),
        (("notify", "--patience", "nan", "file"), "'nan'", "os-update-agent notify"),
        (("update", "v2", "--set", "keep"), "'keep'", "os-update-agent update"),
        (("update", ""), "''", "os-update-agent update"),
    ):
        status, out, err = command(*argv)
        first, *rest = err.splitlines()
        assert (status, out) == (2, "") and first.startswith("os-update-agent: ") and words in first, argv
        assert rest == [f"next: '{helping} --help' says what can be given; nothing was done"]


def test_what_is_not_recorded_is_looked_for_in_the_history(command: Command) -> None:
    assert command("update", "v1", "--key", "one")[0] == command("update", "v1", "--key", "two")[0] == 0
    history = "next: 'os-update-agent history' tells what is recorded; nothing was done"
    for argv in (
        ("rollback", "v1"),
        ("show", "v9", "--key", "one"),
        ("diff", "v9", "now", "--key", "two"),
        ("history", "--key", "none"),
    ):
        status, _, err = command(*argv)
        assert status == 2 and err.splitlines()[1:] == [history], argv
    status, _, err = command("update", "v2", "--key", "one", "--set", "operation=stop")
    assert status == 2 and err.splitlines()[1:] == [
        "next: correct it; 'os-update-agent man' and agent.conf.sample list the options and their values"
    ]


def test_who_is_in_the_way_is_said_once(scene: Scene) -> None:
    settings = load(str(scene.agent_conf))
    with try_lock(settings.worker_lock), node_lock(settings.lock, doing="prune by hand", timeout=0.0):
        status, said = run_with(scene, subprocess.DEVNULL, "update", "v2", "--set", "lock_timeout=0.1")
        loud = run_with(scene, subprocess.DEVNULL, "--verbose", "update", "v2", "--set", "lock_timeout=0.1")[1]
    assert status == 75 and said.startswith("another os-update-agent is at work: prune by hand (process ")
    assert said.splitlines()[1:] == ["next: try again later: 'os-update-agent status' says who is at work"]
    assert "withdrawn=yes" in loud


def run_with(scene: Scene, stdout: int, *argv: str) -> Tuple[int, str]:
    """The exit status and what is complained of, as for somebody whose Python buffers what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "os_update_agent", "--config", str(scene.agent_conf), *argv],
        stdout=stdout, stderr=subprocess.PIPE, encoding="utf-8", check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(AGENT)},
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize("verb", ["status", "man"])
def test_who_does_not_read_on_is_not_complained_of(scene: Scene, verb: str) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        assert run_with(scene, write, verb) == (1, "")
    finally:
        os.close(write)


@pytest.mark.parametrize("verb", ["status", "man"])
def test_an_answer_that_cannot_be_written_is_an_error(scene: Scene, verb: str) -> None:
    with open("/dev/full", "wb") as full:
        status, said = run_with(scene, full.fileno(), verb)
    told = "the answer cannot be written to standard output (No space left on device); what was done stands"
    assert status == 1 and said.startswith(f"os-update-agent: {told}\nnext: ") and said.count("\n") == 2


def test_an_update_that_nobody_reads_of_is_none_that_failed(scene: Scene) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        assert run_with(scene, write, "update", "v1", "--quiet") == (0, "")
    finally:
        os.close(write)


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
def test_where_nothing_can_be_complained_of_the_status_stays(scene: Scene, redirection: str) -> None:
    argv = f"{sys.executable} -m os_update_agent --config {scene.agent_conf} show nope {redirection}"
    done = subprocess.run(["sh", "-c", argv], env={**os.environ, "PYTHONPATH": str(AGENT)}, check=False)
    assert done.returncode == 2


@pytest.mark.parametrize("verb", ["status", "history", "show", "update"])
def test_a_value_can_be_told_in_any_locale(scene: Scene, verb: str) -> None:
    value = "h\xe9\N{SNOWMAN}"
    scene.deliver("CREATE", value)
    environment = {**os.environ, "PYTHONPATH": str(AGENT), "PYTHONIOENCODING": "ascii"}
    argv = [
        sys.executable,
        "-m",
        "os_update_agent",
        "--config",
        str(scene.agent_conf),
        verb,
        *([value] if verb in ("show", "update") else []),
    ]
    done = subprocess.run(argv, env=environment, capture_output=True, encoding="ascii", check=False)
    assert done.returncode == 0 and r"h\xe9\u2603" in done.stdout
    done = subprocess.run([*argv, "--json"], env=environment, capture_output=True, encoding="ascii", check=False)
    assert done.returncode == 0 and value in str(json.loads(done.stdout))


def test_status_tells_that_agent_conf_has_every_value_refused(scene: Scene, command: Command) -> None:
    with scene.agent_conf.open("a", encoding="utf-8") as file:
        file.write("[defaults]\nkeep = many\n")
    status, out, _ = command("status")
    assert (
        status == 0
        and "\nevery new value is refused until agent.conf is corrected: "
        "[defaults] of agent.conf: option keep is 'many'"
        in out
    )
    assert "option keep" in document(command("status", "--json")[1], "status")["refused"]


def test_a_full_disk_is_named(scene: Scene, command: Command) -> None:
    with mounted(scene.directory / "small", "tmpfs", "size=4k,mode=700") as small:
        (small / "fill").write_bytes(b"x" * 4096)
        scene.agent_conf.write_text(
            scene.agent_conf.read_text().replace(f"run = {scene.directory}/run", f"run = {small}")
        )
        status, _, err = command("plan", "--quiet")
    assert status == 1 and f"No space left on device: {small}\n" in err


def test_a_plan_looks_for_room(scene: Scene, command: Command) -> None:
    scene.publish(*NOVEMBER)
    found = document(command("plan", "--json")[1], "plan")
    assert (found["can_be_done"], found["no_room"]) == (True, "")
    with mounted(scene.directory / "small", "tmpfs", "size=2M,mode=700") as small:
        scene.agent_conf.write_text(
            scene.agent_conf.read_text().replace(f"state = {scene.directory}/state", f"state = {small}")
        )
        found = document(command("plan", "--json")[1], "plan")
        assert not found["can_be_done"] and f"not enough space in {small}" in found["no_room"]
        assert f"\ncannot be done: not enough space in {small}" in command("plan")[1]
        status, _, err = command("update", "v1", "--quiet")
    assert status == 1 and f"not enough space in {small}" in err


def test_on_a_disk_that_takes_no_writes_what_is_recorded_is_told(scene: Scene, command: Command) -> None:
    assert command("update", "v1", "--quiet")[0] == 0
    with mounted(scene.directory / "small", "tmpfs", "mode=700") as small:
        shutil.copytree(scene.directory / "state", small, dirs_exist_ok=True)
        scene.agent_conf.write_text(
            scene.agent_conf.read_text().replace(f"state = {scene.directory}/state", f"state = {small}")
        )
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        for argv in (("status",), ("history",), ("show", "v1"), ("diff", "v1", "now"), ("plan", "--quiet")):
            status, out, err = command(*argv)
            assert (status, err) == (0, "") and out
        status, out, err = command("update", "v2", "--quiet")
    assert (status, out) == (1, "") and "Read-only file system" in err and "no package is touched" in err


def test_the_room_for_a_transaction_is_what_its_files_leave(tmp_path: Path) -> None:
    for name in ("usr", "var"):
        (tmp_path / name).mkdir()
    with mounted(tmp_path / "small", "tmpfs", "size=32M") as small:
        check_space(small, 20_000_000, 0, small, coming=10_000_000)
        with pytest.raises(PackageError, match=r"35\.0 MB are needed for the transaction and the package files, "):
            check_space(small, 20_000_000, 0, small, coming=15_000_000)
        # Files on another disk take no room here; where they lie the ledger needs its own.
        check_space(small, 20_000_000, 0, tmp_path, coming=15_000_000)
        with pytest.raises(PackageError, match=rf"not enough space in {small}: 38\.4 MB are needed"):
            check_space(tmp_path, 0, 0, small, coming=30_000_000)


@contextmanager
def mounted(place: Path, kind: str, options: str) -> Iterator[Path]:
    place.mkdir()
    subprocess.run(["mount", "-t", kind, "-o", options, kind, str(place)], check=True)
    try:
        yield place
    finally:
        # Lazily: the ledger of a command that ran in this process may still be open.
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_key_that_is_new_is_told(scene: Scene, command: Command) -> None:
    assert command("update", "v1", "--quiet")[2] == ""
    for argv in (("plan", "v1"), ("update", "v1")):
        status, _, err = command(*argv, "--key", "by-hnad", "--quiet")
        told = "nothing is recorded under the key 'by-hnad': it begins a history of its own; recorded keys: 'by-hand'\n"
        assert (status, err) == (0, told)


@pytest.mark.parametrize(
    "argv, right",
    [
        (("--config", "", "plan"), "it must be a path"),
        (("plan", ""), "leave it out"),
        (("plan", "None"), "leave it out"),
        (("update", "now"), "it must be another name"),
        (("plan", "now"), "it must be another name"),
        (("demo", "--directory", " "), "it must be a new directory"),
        (("prune", "--keep", "abc"), "is no whole number"),
    ],
)
def test_a_word_that_cannot_be_meant_is_refused(command: Command, argv: Tuple[str, ...], right: str) -> None:
    status, out, err = command(*argv)
    assert (status, out) == (2, "") and right in err and "\nnext: " in err


def test_a_bug_has_its_status_and_tells_no_secret(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("https://user:password@heat/")

    monkeypatch.setattr(main, "load", broken)
    status, out, said = command("status")
    assert (status, out) == (70, "") and said.startswith("os-update-agent: bug in os-update-agent: RuntimeError at ")
    assert "\nnext: report it" in said and "password" not in said


def test_a_configuration_file_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--config", str(tmp_path / "none.conf"), "status"]) == 2
    assert "none.conf is not there" in capsys.readouterr().err


def test_replay_runs_a_delivery_from_its_file_without_telling_heat(
    scene: Scene, command: Command, tmp_path: Path
) -> None:
    scene.publish(*NOVEMBER)
    file = tmp_path / "deployed.json"
    file.write_text(json.dumps(scene._deployment("UPDATE", SECOND)), encoding="utf-8")
    status, out, _ = command("replay", str(file), "--no-signal")
    assert status == 0 and "7 packages changed" in out
    assert scene.receiver.received == []
    assert command("replay", str(tmp_path / "none"))[0] == 2


def test_replay_leaves_the_deployments_of_other_hooks_alone(scene: Scene, command: Command, tmp_path: Path) -> None:
    file = tmp_path / "deployed.json"
    file.write_text(json.dumps({**scene._deployment("UPDATE", SECOND), "group": "script"}), encoding="utf-8")
    status, out, err = command("replay", str(file), "--no-signal")
    assert (status, out) == (
        2,
        "",
    ) and "its group is 'script', which is another hook's; it must be 'package-update'" in err
    assert command("status")[1].startswith("nothing has been recorded")


def test_replay_tells_a_result_that_another_hook_has_given(scene: Scene, command: Command, tmp_path: Path) -> None:
    deployment = scene._deployment("UPDATE", SECOND)
    file = tmp_path / "deployed.json"
    file.write_text(json.dumps(deployment), encoding="utf-8")
    ledger = Ledger(scene.directory / "state/ledger.sqlite")
    ledger.receive_answered(
        Delivery(deployment["id"], "k", "", "UPDATE", 1.0), json.dumps({"deploy_status_code": 0}), None
    )
    ledger.close()
    assert command("replay", str(file), "--no-signal") == (0, "", "")


def test_what_is_owed_is_told_and_sent_by_resume(scene: Scene, command: Command) -> None:
    with scene.agent_conf.open("a", encoding="utf-8") as file:
        file.write("[defaults]\nsignal_timeout = 0.5\n")
    scene.receiver.answer(503)
    scene.deliver("CREATE", FIRST)
    # From now on somebody collects metrics: what he reads must not outlive what it tells.
    metrics = scene.directory / "agent.prom"
    settings = scene.agent_conf.read_text(encoding="utf-8")
    scene.agent_conf.write_text(settings.replace("[paths]\n", f"[paths]\nmetrics = {metrics}\n"), encoding="utf-8")
    status, out, _ = command("status")
    assert "signal owed" in out and "503" in out and "resume" in out
    status, out, _ = command("resume")
    assert status == 1 and "still owed" in out
    assert "\nos_update_agent_signals_owed 1\n" in metrics.read_text(encoding="utf-8")
    scene.receiver.answer(200)
    assert command("resume") == (0, "nothing is owed\n", "")
    assert command("status")[1].endswith(AT_REST)
    assert "\nos_update_agent_signals_owed 0\n" in metrics.read_text(encoding="utf-8")
    metrics.unlink()
    assert command("resume", "--background")[0] == 0
    assert "\nos_update_agent_signals_owed 0\n" in metrics.read_text(encoding="utf-8")


REFUSED = (
    r"signal refused: deployment \S+: the server answered 403.*; "
    r"Heat does not take it: 'openstack stack resource signal' tells it by hand\n"
)


def test_what_heat_refuses_meanwhile_is_told_by_resume(scene: Scene, command: Command) -> None:
    with scene.agent_conf.open("a", encoding="utf-8") as file:
        file.write("[defaults]\nsignal_timeout = 0.5\n")
    scene.receiver.answer(503)
    scene.deliver("CREATE", FIRST)
    scene.receiver.answer(403)
    status, out, _ = command("resume")
    assert status == 1 and re.fullmatch(REFUSED, out)
    # It can do nothing for it any more.
    assert command("resume") == (0, "nothing is owed\n", "")
    assert re.search(REFUSED, command("status")[1])


def test_what_heat_refuses_from_the_worker_is_told_by_resume_too(scene: Scene, command: Command) -> None:
    scene.receiver.answer(403)
    target = SignalTarget(
        "CFN_SIGNAL", "demo/1", "update", "POST", {"url": scene.receiver.url("/v1/signal?Signature=s")}
    )
    ledger = Ledger(scene.directory / "state/ledger.sqlite")
    ledger.receive(
        Delivery("c1", "k", "v1", "DELETE", 1.0, Policy(key="k", value="v1").as_json(), request=Request(target))
    )
    ledger.close()
    status, out, _ = command("resume")
    assert status == 1 and re.fullmatch(REFUSED, out)


@pytest.mark.parametrize(
    "answer, standing, rest",
    [
        (200, "delivered", "the server answered 200"),
        (503, "owed", "the server answered 503; 'os-update-agent resume' tries again"),
        (403, "refused", None),
    ],
)
def test_replay_says_what_becomes_of_the_signal(
    scene: Scene, command: Command, tmp_path: Path, answer: int, standing: str, rest: Optional[str]
) -> None:
    with scene.agent_conf.open("a", encoding="utf-8") as file:
        file.write("[defaults]\nsignal_timeout = 0.5\n")
    scene.receiver.answer(answer)
    deployment = scene._deployment("CREATE", FIRST)
    file_of_it = tmp_path / "deployed.json"
    file_of_it.write_text(json.dumps(deployment), encoding="utf-8")
    status, out, _ = command("replay", str(file_of_it))
    line = REFUSED if rest is None else re.escape(f"signal {standing}: deployment {deployment['id']}: {rest}\n")
    assert status == int(standing != "delivered")
    assert "baseline" in out and re.search(f"\n{line}$", out)
    status, out, _ = command("replay", "--json", str(file_of_it))
    found = document(out)
    assert status == int(standing != "delivered") and found["status_code"] == 0
    assert (found["signal"]["standing"], str(answer) in found["signal"]["last_answer"]) == (standing, True)
    assert document(command("replay", "--json", "--no-signal", str(file_of_it))[1])["signal"] is None


def test_what_is_open_is_told_and_ended_by_resume(scene: Scene, command: Command) -> None:
    ledger = Ledger(scene.directory / "state/ledger.sqlite")
    ledger.open_run(Run(0, "k", "v", "update", "plan", 1.0))
    ledger.close()
    out = command("status")[1]
    assert (
        "\nopen: run 1 (update 'v') is in phase plan; log: none yet\n  no os-update-agent is at it: 'os-update-agent"
        " resume' fin" in out
    )
    said = "run 1 (update 'v') has ended, failed: it was cut off; log: none\nnothing is owed\n"
    status, out, err = command("resume")
    assert (status, out) == (0, said) and "run 1: update to 'v'; log " in err
    assert command("resume") == (0, "nothing is owed\n", "")
    assert "open" not in command("status")[1]


def test_a_delivery_that_waits_is_told(scene: Scene, command: Command) -> None:
    ledger = Ledger(scene.directory / "state/ledger.sqlite")
    for config_id, value in (("c1", "v1"), ("c2", "v2"), ("c3", "v3")):
        ledger.receive(Delivery(config_id, "k", value, "UPDATE", 1.0))
    ledger.open_run(Run(0, "k", "v1", "update", "plan", 1.0, config_id="c1"))
    ledger.finish("c3", "{}", None, 2.0)
    ledger.close()
    settings = load(str(scene.agent_conf))
    waiting = "\nwaiting: 'v2' for key k, received 1970-01-01T00:00:01Z\n"
    with try_lock(settings.worker_lock), node_lock(settings.lock, doing="deployment c1 (UPDATE)", timeout=0.0):
        out = command("status")[1]
    assert waiting in out and out.count("waiting: ") == 1 and "is at it" not in out
    assert f"{waiting}  no os-update-agent is at it: 'os-update-agent resume' takes it up\n" in command("status")[1]
    assert document(command("status", "--json")[1], "status")["waiting"] == [
        {"deployment": "c2", "key": "k", "value": "v2", "action": "UPDATE", "received": "1970-01-01T00:00:01Z"}
    ]


def test_prune_drops_the_files_that_no_kept_value_needs(scene: Scene, command: Command, tmp_path: Path) -> None:
    scene.deliver("CREATE", FIRST)
    scene.publish(*NOVEMBER)
    scene.deliver("UPDATE", SECOND)
    scene.deliver("UPDATE", THIRD)
    archive = tmp_path / "state/archive"

    def files_of(value: str) -> str:
        """What the history says of the files of a value."""
        match = re.search(rf"'{value}' .* (\w+|-) +\S+$", command("history")[1], re.MULTILINE)
        assert match
        return match[1]

    assert any(archive.glob("webapp_1.0-1_*.deb"))
    assert command("prune", "--keep", "0")[0] == 2 and any(archive.glob("webapp_1.0-1_*.deb"))
    assert files_of(FIRST) == "kept"
    status, out, _ = command("prune", "--keep", "1")
    assert status == 0 and "files" in out
    assert not any(archive.glob("webapp_1.0-1_*.deb")) and any(archive.glob("webapp_2.0-1_*.deb"))
    # What the history promises is looked for in the archive.
    assert files_of(FIRST) == "pruned" and files_of(SECOND) == "kept"


def test_what_was_downloaded_stays_until_its_update_has_come(scene: Scene, command: Command, tmp_path: Path) -> None:
    scene.publish(*NOVEMBER)
    assert command("update", "d1", "--key", "download", "--set", "operation=download")[0] == 0

    def kept(version: str) -> bool:
        return any((tmp_path / "state/archive").glob(f"webapp_{version}_*.deb"))

    assert command("prune") == (0, "0 files, 0 B dropped\n", "") and kept("2.0-1")
    # Nor does one need them less that was undone, or only an assessment.
    scene.publish(*BROKEN)
    assert command("update", "d2", "--key", "download")[0] == 1
    assert command("update", "d3", "--key", "download", "--set", "operation=assess")[0] == 0
    assert command("prune")[0] == 0 and kept("2.0-1")
    scene.withdraw(*BROKEN)
    # An update of something else is not the one that this was for.
    assert command("update", "c1", "--key", "clock", "--packages", "clock")[0] == 0
    assert command("prune", "--keep", "1")[0] == 0 and kept("2.0-1") and kept("1.0-1")
    # When it comes it brings something newer still.
    webapp = next(deb for deb in NOVEMBER if deb.name == "webapp")
    scene.publish(replace(webapp, version="2.1"))
    assert command("update", "v1", "--key", "all")[0] == 0
    assert {package.name: package.version for package in scene.state().packages}["webapp"] == "2.1-1"
    assert kept("2.1-1") and not kept("2.0-1")


def test_two_keys_have_to_be_told_apart(scene: Scene, command: Command) -> None:
    assert command("update", "v1", "--key", "one")[0] == 0
    assert command("update", "v1", "--key", "two")[0] == 0
    status, _, err = command("rollback", "v1")
    assert status == 2 and "'one', 'two'" in err
    assert command("rollback", "v1", "--key", "two")[0] == 0


def test_status_names_what_everybody_may_read(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as scratch:
        Path(scratch).chmod(0o755)
        listed = Path(scratch, "heat-config")
        listed.write_text("[]", encoding="utf-8")
        listed.chmod(0o644)
        monkeypatch.setenv("HEAT_SHELL_CONFIG", str(listed))
        assert f"readable by all: {listed}" in command("status")[1]
        assert str(listed) in document(command("status", "--json")[1])["readable_by_all"]
        listed.chmod(0o600)
        assert str(listed) not in command("status")[1]
