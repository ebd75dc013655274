"""Attempts of another user of the node to become root, or to have root read, write or keep something for him."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Callable, Dict, List

from faults.fault import (
    LAUNCHER,
    NOBODY,
    VERSIONS_OLD,
    Lab,
    assert_next_works,
    assert_no_matter,
    delivered,
    fault,
    shell,
)
from faults.inheritance import planted
from os_update_agent.ledger.reserve import NAME as RESERVE
from packages.node import CHECKOUT, Node


def _refused(node: Node, *wrapper: str) -> str:
    """Deliver an update that is refused before anything happens. Returns the complaint."""
    result = delivered(node, "v2", *wrapper)
    assert result.status != 0, result.told
    assert node.versions() == VERSIONS_OLD
    return result.complaint


def _modules(node: Node) -> Path:
    """A directory of another user with modules that a program of the agent imports; each leaves a mark."""
    directory = node.directory / "modules"
    directory.mkdir()
    for name in ("signal", "sqlite3", "json", "logging", "requests", "argparse", "configparser", "distro", "yaml"):
        (directory / f"{name}.py").write_text(f"open('{node.directory}/mark', 'a').write('{name} ')\n")
    for path in (directory, *directory.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    return directory


def _run(node: Node, directory: Path, *argv: str) -> "subprocess.CompletedProcess[str]":
    environment = {**node.environment(), "HOME": str(directory)}
    return subprocess.run(argv, cwd=directory, env=environment, input="{}", capture_output=True, text=True, timeout=60)


@fault("intrusion/modules in the working directory of python -m os_update_agent")
def modules(lab: Lab) -> None:
    """No module of the standard library comes from there once the agent has begun; the installed command uses -I."""
    with lab.node() as node:
        directory = _modules(node)
        for words in (
            ("history",),
            ("man",),
            ("completion", "bash"),
            ("install-hook", "--dry-run", "--root", "/nowhere"),
        ):
            _run(node, directory, sys.executable, "-m", "os_update_agent", *words)
            mark = node.directory / "mark"
            assert not mark.exists(), (words, mark.read_text())


@fault("intrusion/modules and programs beside every other entry point", is_cheap=False)
def entry_points(lab: Lab) -> None:
    """dnf's worker, the demo, and each verb of the installed command."""
    with lab.node() as node:
        directory = planted(node)
        for name in ("os_update_agent", "sqlite3", "json", "dnf", "rpm", "libdnf5", "sitecustomize", "usercustomize"):
            (directory / f"{name}.py").write_text(f"open('{node.directory}/mark', 'a').write('{name} ')\n")
        worker = CHECKOUT / "agent/os_update_agent/packages/dnf/worker/main.py"
        command = str(lab.installed / "os-update-agent")
        calls: List[List[str]] = [
            *([python, "-I", "-B", str(worker), "dnf", str(node.root), "99"] for python in ("/usr/bin/python3",)),
            *([command, verb] for verb in ("status", "history", "man", "resume", "prune", "--version")),
            [command, "completion", "bash"],
            [command, "notify", "/nowhere"],
            [command, "replay", "/nowhere"],
            [command, "plan", "--key", "k"],
            [str(lab.installed / "os-update-agent-render"), "/nowhere"],
            ["/usr/bin/env", f"PATH={directory}:.:{os.environ['PATH']}", command, "demo"],
            [sys.executable, "-I", str(LAUNCHER), "os_update_agent.worker", "name"],
        ]
        for argv in calls:
            _run(node, directory, *argv)
            mark = node.directory / "mark"
            assert not mark.exists(), (argv, mark.read_text())


@fault("intrusion/an access control list lets another user write", is_cheap=False)
def access_control_lists(lab: Lab) -> None:
    """The mode shows the mask of the list in the place of the group."""
    with lab.node() as node:
        step = node.step("pre-update.d/50-step")
        for path in (node.state, node.log, node.run, node.archive, node.conf, step, step.parent, node.directory):
            path.mkdir(mode=0o700, exist_ok=True) if not path.exists() else None
            subprocess.run(["setfacl", "-m", f"u:{NOBODY}:rwx", str(path)], check=True)
            complaint = _refused(node)
            assert str(path) in complaint and "can be written by its group" in complaint, (path, complaint)
            subprocess.run(["setfacl", "-b", str(path)], check=True)
            path.chmod(0o700)
        assert_next_works(node)


@fault("intrusion/a default list would let another user read new files", is_cheap=False)
def default_lists(lab: Lab) -> None:
    """What the agent makes there is for root alone all the same."""
    with lab.node() as node:
        node.log.mkdir(mode=0o700, exist_ok=True)
        for path in (node.state, node.log, node.run):
            subprocess.run(["setfacl", "-d", "-m", f"u:{NOBODY}:rwx", str(path)], check=True)
        assert delivered(node, "v2").status == 0
        for path in (node.state / RESERVE, node.log / "000001.log", node.log / "worker.log", node.run / "lock"):
            if path.exists():
                read = ("setpriv", f"--reuid={NOBODY}", "--clear-groups", "test", "-r", str(path))
                assert subprocess.run(read).returncode != 0, path
                assert path.stat().st_mode & 0o077 == 0, (path, oct(path.stat().st_mode))


@fault("intrusion/links that lead through a directory of another user")
def links(lab: Lab) -> None:
    """Each link is followed as the kernel follows it: ".." behind a link leads to the parent of its target."""
    with lab.node() as node:
        foreign = node.directory / "foreign"
        (foreign / "inner").mkdir(parents=True)
        (foreign / "agent.conf").write_text(node.conf.read_text())
        for path in (foreign, foreign / "inner", foreign / "agent.conf"):
            os.chown(path, NOBODY, NOBODY)
        (node.directory / "way").symlink_to(foreign / "inner")
        confs: Dict[str, Callable[[Path], object]] = {
            "through": lambda path: path.symlink_to(foreign / "agent.conf"),
            "parent": lambda path: path.symlink_to("way/../agent.conf"),
            "link": lambda path: path.symlink_to(node.directory / "way/../agent.conf"),
        }
        for name, make in confs.items():
            path = node.directory / f"{name}.conf"
            make(path)
            complaint = _refused(node, "/usr/bin/env", f"OS_UPDATE_AGENT_CONFIG={path}")
            assert "belongs to user 65534" in complaint, (name, complaint)
        # The path itself is read as it is checked.
        argument = f"OS_UPDATE_AGENT_CONFIG={node.directory}/way/../agent.conf"
        assert delivered(node, "v2", "/usr/bin/env", argument).status == 0


@fault("intrusion/root by another name")
def other_names_of_root(lab: Lab) -> None:
    """A trial, in which a sticky directory will do, is never one of this machine's own packages."""
    with lab.node() as node:
        text = node.conf.read_text()
        (node.directory / "root-link").symlink_to("/")
        for name in ("/proc/self/root", "/proc/1/root", f"{node.directory}/root-link"):
            node.conf.write_text(text.replace(f"root = {node.root}\n", f"root = {name}\n"))
            result = delivered(node, "v2", "unshare", "--mount", *shell(_READ_ONLY))
            assert result.status != 0 and (
                "by another name" in result.complaint or "cannot be checked" in result.complaint
            )
        from os_update_agent.config.settings import parse

        for name in ("//", "//.", "///", "/..", "//../."):
            assert not parse(f"[node]\nroot = {name}\n", "agent.conf").is_trial, name


# Nothing of this machine could be changed even if the check failed.
_READ_ONLY = "mount -o remount,bind,ro /;"


@fault("intrusion/the directory of the metrics belongs to another user")
def metrics(lab: Lab) -> None:
    """Links that he plants lead nobody elsewhere, and what he puts in the place of the file is not followed."""
    with lab.node() as node:
        collector, target = node.directory / "collector", node.directory / "root-only"
        (collector / "text").mkdir(parents=True)
        target.mkdir(mode=0o700)
        for path in (collector, collector / "text"):
            os.chown(path, NOBODY, NOBODY)
        file = collector / "text/agent.prom"
        text = node.conf.read_text()
        node.conf.write_text(text.replace("[paths]\n", f"[paths]\nmetrics = {file}\n"))
        assert delivered(node, "v2").status == 0
        assert "os_update_agent_info" in file.read_text() and oct(file.stat().st_mode)[-3:] == "644"
        file.unlink()
        file.symlink_to(target / "victim")
        assert delivered(node, "v1").status == 0
        assert not file.is_symlink() and "os_update_agent_info" in file.read_text()
        (collector / "text").rename(collector / "aside")
        (collector / "text").symlink_to(target)
        os.chown(collector / "text", NOBODY, NOBODY, follow_symlinks=False)
        assert delivered(node, "v3").status == 0
        assert list(target.iterdir()) == []
        # A link of root is followed: /var/run is one.
        os.chown(collector / "text", 0, 0, follow_symlinks=False)
        assert delivered(node, "v1").status == 0
        assert [path.name for path in target.iterdir()] == ["agent.prom"]


@fault("intrusion/links and files in the place of the agent's own", is_cheap=False)
def planted_links(lab: Lab) -> None:
    """Neither a lock, a log, nor a note is written through a link."""
    with lab.node() as node:
        victim = node.directory / "victim"
        victim.write_text("untouched\n")
        victim.chmod(0o644)
        node.log.mkdir(mode=0o700, exist_ok=True)
        for path in (node.run / "lock", node.run / "worker.lock", node.run / "outbox.lock"):
            path.unlink(missing_ok=True)
            path.symlink_to(victim)
            delivered(node, f"v-{path.name}")
            assert victim.read_text() == "untouched\n" and victim.stat().st_mode & 0o777 == 0o644, path
            path.unlink()
        for name in ("000001.log", "000002.log", "000003.log", "000004.log", "worker.log"):
            path = node.log / name
            path.unlink(missing_ok=True)
            path.symlink_to(victim)
        result = delivered(node, "v2")
        assert victim.read_text() == "untouched\n" and victim.stat().st_mode & 0o777 == 0o644
        for path in node.log.iterdir():
            path.unlink()
        assert result.status in (0, 1)
        assert_next_works(node)


@fault("intrusion/a namespace in which another user is root", is_cheap=False)
def user_namespace(lab: Lab) -> None:
    """Files of unmapped users belong to nobody there, and are not trusted."""
    with lab.node() as node:
        os.chown(node.conf, 12345, 12345)
        node.conf.chmod(0o644)
        result = delivered(node, "v2", "unshare", "--user", "--map-root-user")
        assert result.status != 0 and "belongs to user 65534" in result.complaint, result.complaint
        os.chown(node.conf, 0, 0)
        assert_next_works(node)


@fault("intrusion/the repository's user writes to the node's directory through a bind mount", is_cheap=False)
def bind_mount(lab: Lab) -> None:
    """What counts is who may write to what is mounted."""
    with lab.node() as node:
        foreign = node.directory / "foreign"
        foreign.mkdir()
        os.chown(foreign, NOBODY, NOBODY)
        script = f"mount --bind {foreign} {node.run};"
        complaint = _refused(node, "unshare", "--mount", *shell(script))
        assert f"{node.run} belongs to user {NOBODY}" in complaint
        assert_no_matter(node)


@fault("intrusion/files of the agent in a directory for all", is_cheap=False)
def temporary_files(lab: Lab) -> None:
    """No file with a name that can be guessed is made in TMPDIR, and none of the agent's at all."""
    with lab.node() as node:
        seen, place = node.directory / "seen", node.directory / "tmp"
        place.mkdir()
        place.chmod(0o1777)
        code = (
            "import ctypes, os, sys\n"
            "libc = ctypes.CDLL(None)\n"
            "fd = libc.inotify_init1(0)\n"
            "assert libc.inotify_add_watch(fd, sys.argv[1].encode(), 0x100) >= 0\n"
            "open(sys.argv[2], 'w').close()\n"
            "while True: open(sys.argv[2], 'ab').write(os.read(fd, 65536))\n"
        )
        watcher = subprocess.Popen(["/usr/bin/python3", "-c", code, str(place), str(seen)])
        try:
            while not seen.exists():
                pass
            assert_no_matter(node, "/usr/bin/env", f"TMPDIR={place}")
        finally:
            watcher.kill()
            watcher.wait()
        names = [
            word for word in seen.read_bytes().replace(b"\0", b" ").decode("latin-1").split() if word.isprintable()
        ]
        assert not any("update" in name for name in names), names
        assert list(place.iterdir()) == []


@fault("intrusion/a deployed copy that is a link", is_cheap=False)
def deployed_copy(lab: Lab) -> None:
    """heat-config's copy is replaced by rename, so that its target is not written."""
    with lab.node() as node:
        deployed = node.directory / "deployed"
        deployed.mkdir(mode=0o700)
        victim = node.directory / "victim.json"
        victim.write_text(json.dumps({"inputs": [{"name": "deploy_signal_id", "value": "x"}]}))
        deployment = node.deployment("UPDATE", "v2")
        (deployed / f"{deployment['id']}.json").symlink_to(victim)
        before = victim.read_text()
        node.wrapper = ("/usr/bin/env", f"HEAT_CONFIG_DEPLOYED={deployed}")
        result = node.start_with(deployment).wait()
        node.wrapper = ()
        assert result.status == 0 and victim.read_text() == before
