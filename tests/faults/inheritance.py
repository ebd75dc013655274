"""Faults that the hook inherits from its caller: descriptors, signals, the umask, the directory, the environment."""

import os
import stat
from itertools import combinations
from pathlib import Path
from typing import List, Tuple

from faults.fault import (
    NOBODY,
    Lab,
    assert_next_works,
    assert_no_matter,
    assert_survived,
    assert_true,
    delivered,
    fault,
    shell,
)
from packages.node import Node

SIGNALS = "import os, signal, sys\n{}\nos.execvp(sys.argv[1], sys.argv[1:])\n"


def with_signals(lines: str) -> Tuple[str, ...]:
    """Return the words that run a program after these lines of Python."""
    return ("/usr/bin/python3", "-c", SIGNALS.format(lines))


def planted(node: Node) -> Path:
    """A directory of another user, with programs that root may want to run; each leaves a mark when it runs."""
    directory = node.directory / "planted"
    directory.mkdir(mode=0o755)
    for name in ("apt-get", "apt-config", "dpkg", "dpkg-deb", "dpkg-query", "setsid", "systemctl", "systemd-run", "sh"):
        program = directory / name
        program.write_text(f"#!/bin/sh\necho {name} >> {node.directory}/mark\nexit 1\n")
        program.chmod(0o755)
    (directory / ".dpkg.cfg").write_text(f"pre-invoke=echo dpkg.cfg >> {node.directory}/mark\n")
    (directory / "bash").write_text(f"echo bash >> {node.directory}/mark\n")
    (directory / "apt.conf").write_text(f'APT::Update::Pre-Invoke "echo apt >> {node.directory}/mark";\n')
    for path in (directory, *directory.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    return directory


def assert_nothing_ran(node: Node) -> None:
    mark = node.directory / "mark"
    assert not mark.exists(), mark.read_text()


@fault("signals/SIGCHLD ignored")
def sigchld_ignored(lab: Lab) -> None:
    """dpkg could not wait for its scripts, and every exit status would be 0."""
    with lab.node() as node:
        assert_no_matter(node, *with_signals("signal.signal(signal.SIGCHLD, signal.SIG_IGN)"))


@fault("signals/SIGCHLD ignored, and a script fails")
def sigchld_ignored_and_a_failure(lab: Lab) -> None:
    """The failure of a child is seen."""
    with lab.node() as node:
        node.step("health.d/50-fails", "exit 3")
        result = delivered(node, "v2", *with_signals("signal.signal(signal.SIGCHLD, signal.SIG_IGN)"))
        assert result.status != 0 and "50-fails" in result.complaint
        assert_true(node, result)


@fault("signals/all blocked")
def all_blocked(lab: Lab) -> None:
    """A blocked SIGTERM or SIGCHLD would be inherited by apt and dpkg."""
    with lab.node() as node:
        node.step("pre-update.d/50-look", f"grep SigBlk /proc/$PPID/status > {node.directory}/mask")
        assert_no_matter(node, *with_signals("signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())"))
        assert int((node.directory / "mask").read_text().split()[1], 16) == 0


@fault("signals/SIGPIPE, SIGALRM and real-time signals ignored", is_cheap=False)
def others_ignored(lab: Lab) -> None:
    """None of them matters."""
    with lab.node() as node:
        lines = "for number in (13, 14, *range(34, 65)): signal.signal(number, signal.SIG_IGN)"
        assert_no_matter(node, *with_signals(lines))


@fault("signals/SIGHUP, SIGINT and SIGTERM ignored", is_cheap=False)
def polite_ignored(lab: Lab) -> None:
    """As under nohup(1)."""
    with lab.node() as node:
        lines = "for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)"
        assert_no_matter(node, *with_signals(lines))


def combinations_of_descriptors() -> List[Tuple[int, ...]]:
    """Return the sets of standard descriptors that can be closed, the largest first."""
    return [found for size in (3, 2, 1) for found in combinations(range(3), size)]


def _closing(*descriptors: int) -> Tuple[str, ...]:
    return shell("".join(f"exec {number}>&-;" for number in descriptors))


@fault("descriptors/0 to 2 closed in all combinations")
def closed_descriptors(lab: Lab) -> None:
    """No file of the agent gets the number of a standard descriptor, where a child would write into it."""
    with lab.node() as node:
        for number, closed in enumerate(lab.some(combinations_of_descriptors(), 4)):
            value = f"v{number + 2}" if number % 2 == 0 else "v1"
            before = node.versions()
            if 1 in closed or 0 in closed:
                node.wrapper = _closing(*closed)
                result = node.start("UPDATE", value).wait()
                node.wrapper = ()
                assert "Traceback" not in result.stdout + result.stderr
                assert (result.returncode, result.stdout) == (1, "") if 1 in closed else result.status != 0
                # Without an input nothing is to be done; without an output the result is sent.
                assert len(result.received) == (0 if 0 in closed else 1)
                assert node.versions() == (before if 0 in closed else node.versions())
            else:
                assert delivered(node, value, *_closing(*closed)).status == 0
            assert node.hand.faults() == ""
            with node.ledger() as ledger:
                assert ledger.runs()[0].finished is not None if ledger.runs() else True
        node.wait_until_at_rest()
        assert_next_works(node)


@fault("umask/0000")
def umask_open(lab: Lab) -> None:
    """No file of the agent is open to others, and no package's file is open wider than in its package."""
    with lab.node() as node:
        assert_no_matter(node, *shell("umask 0000;"))
        places = (node.state, node.log, node.run)
        found = [path for place in places for path in (place, *place.rglob("*")) if not path.is_symlink()]
        # What apt makes lies in directories that are closed.
        own = [path for path in found if path.parent.name not in ("archive", "work", "archives", "partial")]
        wide = [path for path in own if stat.S_IMODE(path.stat().st_mode) & 0o077]
        assert wide == [], wide
        assert stat.S_IMODE((node.root / "usr/bin/app").stat().st_mode) == 0o644


@fault("umask/0777", is_cheap=False)
def umask_closed(lab: Lab) -> None:
    """The packages' files are for everybody who may read them, and the first directories of the agent are usable."""
    with lab.node() as node:
        assert_no_matter(node, *shell("umask 0777;"))
        assert stat.S_IMODE((node.root / "usr/bin/app").stat().st_mode) == 0o644


@fault("umask/0000 with directories to be made")
def umask_new_directories(lab: Lab) -> None:
    """Parents that the agent makes are not writable for others."""
    with lab.node() as node:
        for name in ("state", "log", "run"):
            setattr(node, name, node.directory / "new/deep" / name)
        node.configure()
        node.hand.let_go()
        result = delivered(node, "v1", *shell("umask 0000;"), action="CREATE")
        assert result.status == 0, result.complaint
        made = [node.directory / "new", node.directory / "new/deep"]
        assert [oct(path.stat().st_mode) for path in made if path.stat().st_mode & 0o022] == []
        assert delivered(node, "v2", *shell("umask 0000;")).status == 0


@fault("directory/deleted", is_cheap=False)
def directory_deleted(lab: Lab) -> None:
    """Neither the agent nor a script of a package needs the directory of the caller."""
    with lab.node() as node:
        assert_no_matter(node, *shell(f"mkdir {node.directory}/gone; cd {node.directory}/gone; rmdir ../gone;"))


@fault("directory/of another user, with the names of programs and modules", is_cheap=False)
def directory_of_another_user(lab: Lab) -> None:
    """Nothing is started from, or imported from, the directory of the caller."""
    with lab.node() as node:
        directory = planted(node)
        for name in ("sqlite3", "json", "apt_pkg", "sitecustomize", "usercustomize", "os_update_agent"):
            (directory / f"{name}.py").write_text(f"open('{node.directory}/mark', 'a').write('{name} ')\n")
        for name in ("pyvenv.cfg", "setup.cfg", ".pdbrc", "odd.pth"):
            (directory / name).write_text(f"import os; os.mknod('{node.directory}/mark')\n")
        assert_no_matter(node, *shell(f"cd {directory};"))
        assert_nothing_ran(node)


@fault("environment/a PATH that leads to another user")
def foreign_path(lab: Lab) -> None:
    """Programs are taken from directories that only root can write: no relative one, none of another user."""
    with lab.node() as node:
        directory = planted(node)
        before = os.environ["PATH"]
        open_to_all = node.directory / "open"
        open_to_all.mkdir()
        open_to_all.chmod(0o777)
        (open_to_all / "dpkg-query").symlink_to(directory / "dpkg-query")
        paths = (f"{directory}:{open_to_all}:{before}", f":.:./:../planted::{before}:")
        for value, path in zip(("v2", "v1"), paths):
            result = delivered(node, value, *shell(f"cd {directory};"), "/usr/bin/env", f"PATH={path}")
            assert result.status == 0, result.complaint
            assert_nothing_ran(node)
        node.wait_until_at_rest()


@fault("environment/no PATH, and one without the directories sbin", is_cheap=False)
def poor_path(lab: Lab) -> None:
    """dpkg needs programs in the directories sbin."""
    with lab.node() as node:
        assert_no_matter(node, "/usr/bin/env", "-u", "PATH")
        assert_no_matter(node, "/usr/bin/env", "PATH=/usr/bin:/no/such/place")


@fault("environment/settings and places of another user")
def foreign_settings(lab: Lab) -> None:
    """dpkg runs commands of $HOME/.dpkg.cfg, apt those of $APT_CONFIG, bash those of $BASH_ENV."""
    with lab.node() as node:
        directory = planted(node)
        names = ("HOME", "TMPDIR", "TMP", "TEMP", "XDG_CONFIG_HOME", "GNUPGHOME", "RPM_CONFIGDIR")
        variables = [f"{name}={directory}" for name in names]
        variables += [f"APT_CONFIG={directory}/apt.conf", f"BASH_ENV={directory}/bash", f"ENV={directory}/bash"]
        variables += ["DPKG_ROOT=/nowhere", "DPKG_ADMINDIR=/nowhere", "DPKG_FORCE=all", "DPKG_MAINTSCRIPT_NAME=x"]
        step = node.step("pre-update.d/50-bash", f"env > {node.directory}/env")
        step.write_text(step.read_text().replace("#!/bin/sh", "#!/bin/bash"))
        assert_no_matter(node, "/usr/bin/env", *variables)
        assert_nothing_ran(node)
        assert str(directory) not in (node.directory / "env").read_text()
        assert sorted(path.name for path in directory.iterdir() if path.stat().st_uid != NOBODY) == []


@fault("environment/odd variables of Python and of the loader")
def odd_python(lab: Lab) -> None:
    """A script of a package that is written in Python, such as py3compile, gets none of them."""
    with lab.node() as node:
        odd = str(node.directory / "odd")
        names = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONPYCACHEPREFIX")
        variables = [
            *(f"{name}={odd}" for name in names),
            "PYTHONINSPECT=1",
            "PYTHONWARNINGS=error",
            f"LD_LIBRARY_PATH={odd}:",
        ]
        node.step("pre-update.d/50-python", "python3 -c 'import sqlite3, json'")
        assert_no_matter(node, "/usr/bin/env", *variables)


@fault("environment/odd languages, time zones, terminals and proxies", is_cheap=False)
def odd_locale(lab: Lab) -> None:
    """What the package manager says is read in one language, whatever the caller's is."""
    with lab.node() as node:
        variables = [
            "LANG=xx_YY.ISO-1",
            "LC_ALL=tr_TR",
            "LANGUAGE=de:fr",
            "TZ=:/nonexistent/../zone",
            "TERM=",
            "COLUMNS=-1",
        ]
        variables += ["NO_PROXY=*", "http_proxy=not a url", "https_proxy=http://[::", "PAGER=/no/pager", "MAIL=x"]
        assert_no_matter(node, "/usr/bin/env", *variables)


@fault("environment/empty", is_cheap=False)
def empty_environment(lab: Lab) -> None:
    """Only the name of the configuration is left, so that the node is the private one."""
    with lab.node() as node:
        assert_no_matter(node, "/usr/bin/env", "-i", f"OS_UPDATE_AGENT_CONFIG={node.conf}")


@fault("environment/names and values that are not UTF-8", is_cheap=False)
def bytes_in_environment(lab: Lab) -> None:
    """They reach a step as they are."""
    with lab.node() as node:
        node.step("pre-update.d/50-env", f"env -0 >> {node.directory}/env")
        assert_no_matter(node, *shell("ODD=$(printf '\\377\\376'); export ODD;"), "/usr/bin/env", "A B=c", "=x")
        found = (node.directory / "env").read_bytes()
        assert b"ODD=\xff\xfe\0" in found, found


@fault("priority/nice 19 and idle", is_cheap=False)
def idle(lab: Lab) -> None:
    """It takes longer."""
    with lab.node() as node:
        assert_no_matter(node, "nice", "-n", "19", "ionice", "-c", "3")


@fault("configuration/by a relative name from a deleted directory", is_cheap=False)
def relative_configuration(lab: Lab) -> None:
    """There is no such file, and no other node is taken in its place."""
    with lab.node() as node:
        script = f"mkdir {node.directory}/gone; cd {node.directory}/gone; rmdir ../gone;"
        result = delivered(node, "v2", *shell(script), "/usr/bin/env", "OS_UPDATE_AGENT_CONFIG=agent.conf")
        assert result.status != 0 and "configuration file" in result.complaint
        assert_next_works(node)


@fault("signals/a debugger's caller", is_cheap=False)
def as_another_session(lab: Lab) -> None:
    """The hook is the leader of a session without a terminal."""
    with lab.node() as node:
        assert_survived(node, "setsid", "--wait")
