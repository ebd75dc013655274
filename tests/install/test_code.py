"""The agent's code as install-hook lays it down: pure, complete, isolated, and for every Python."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

import pytest

from os_update_agent import __version__, launch
from os_update_agent.cli import main
from os_update_agent.install import code, target
from os_update_agent.install.layout import HOME, PROGRAMS, Tree
from os_update_agent.model.errors import CommandFailed, UsageError
from packages import sid

# Everything but what loads dnf or python-apt: that runs under the Python that has them.
EVERYTHING = """
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import os_update_agent
for module in pkgutil.walk_packages(os_update_agent.__path__, "os_update_agent."):
    if not any(manager in module.name for manager in (".apt.worker.", ".dnf.worker.")):
        importlib.import_module(module.name)
import certifi, keystoneauth1.identity.v3, keystoneauth1.session, requests
import distro, yaml
yaml.safe_load("a: 1")
assert requests.Request("GET", "http://\\u00fc.example/").prepare().url and open(certifi.where()).read()
for name in ("requests", "yaml", "distro", "os_update_agent"):
    assert sys.argv[1] in sys.modules[name].__file__
print(*sys.version_info[:2], sep=".")
"""


def with_python(root: Path) -> Path:
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/python3.11").touch()
    (root / "usr/bin/python3").symlink_to("python3.11")
    return root


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the agent."""
    root = with_python(tmp_path_factory.mktemp("installed"))
    target.install(target.target(root), lambda _: None)
    return root


def library(root: Path) -> Path:
    return (root / PROGRAMS.lstrip("/")).resolve().parent / "lib"


def pythons() -> Iterator[Tuple[str, ...]]:
    """The commands of the Pythons at hand under which the agent and its installed libraries are to run. pip chooses
    libraries for the Python of the environment and later ones.
    """
    yield ("/usr/bin/python3",)
    yield (sys.executable,)
    others = Path.home().glob(".pyenv/versions/3.*/bin/python3")
    yield from ((str(path),) for path in others if int(path.parts[-3].split(".")[1]) >= sys.version_info[1])


def everything(python: Tuple[str, ...], root: Path) -> str:
    # -S: without the libraries of that Python.
    argv = [*python, "-I", "-S", "-B", "-c", EVERYTHING, str(library(root))]
    done = subprocess.run(argv, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, f"{python}: {done.stderr[-2000:]}"
    return done.stdout.strip()


def test_every_python_at_hand_imports_all_of_it_and_nothing_else(installed: Path) -> None:
    found = {everything(python, installed) for python in pythons()}
    print("imported by Python", ", ".join(sorted(found)))
    assert found


def test_the_next_python_of_the_distribution_imports_all_of_it(installed: Path) -> None:
    sid.needed()
    assert everything((*sid.enter(), "/usr/bin/python3"), installed) != everything(("/usr/bin/python3",), installed)


def test_nothing_in_it_is_compiled_and_nobody_else_may_write_it(installed: Path) -> None:
    found = list((installed / HOME.lstrip("/")).rglob("*"))
    assert len(found) > 300
    assert [path for path in found if path.suffix in (".so", ".pyd")] == []
    writable = [path for path in found if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) & 0o022]
    assert writable == [] and {path.lstat().st_uid for path in found} == {os.geteuid()}


def test_each_program_runs_isolated_under_the_distributions_python(installed: Path) -> None:
    programs = sorted((installed / PROGRAMS.lstrip("/")).iterdir())
    assert [path.name for path in programs] == ["os-update-agent", "os-update-agent-render", "package-update"]
    for path in programs:
        assert path.read_text().splitlines()[0] == "#!/usr/bin/python3 -I" and os.access(path, os.X_OK)


# --- files that somebody has planted where root works


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A directory that shadows the agent and parts of the standard library; whatever is imported leaves a mark."""
    directory = tmp_path / "planted"
    (directory / "os_update_agent/install").mkdir(parents=True)
    names = ("os_update_agent/__init__", "os_update_agent/worker", "os_update_agent/install/render")
    for name in (*names, "json", "sqlite3", "logging", "requests", "sitecustomize", "usercustomize"):
        (directory / f"{name}.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'a').write('{name} ')\n")
    return directory


def configuration(directory: Path) -> Path:
    paths = "".join(f"{name} = {directory / name}\n" for name in ("state", "log", "run", "steps"))
    file = directory / "agent.conf"
    file.write_text(f"[node]\nroot = {directory / 'root'}\nbackend = apt\n[paths]\n{paths}", encoding="utf-8")
    return file


INPUTS = {
    "update_after_time": "v",
    "deploy_action": "DELETE",
    "deploy_stack_id": "web/1",
    "deploy_resource_name": "update",
    "deploy_server_id": "server",
    "deploy_signal_transport": "NO_SIGNAL",
}
DELETED = {
    "id": "d",
    "group": "package-update",
    "config": "",
    "options": {},
    "outputs": [],
    "inputs": [{"name": name, "type": "String", "value": value} for name, value in INPUTS.items()],
}


def argvs(installed: Path) -> Dict[str, List[str]]:
    programs = installed / PROGRAMS.lstrip("/")
    agent = str(programs / "os-update-agent")
    launcher = str(library(installed) / "os_update_agent/launch.py")
    return {
        "hook": [str(programs / "package-update")],
        "command": [agent, "status"],
        "resume": [agent, "resume", "--background"],
        "install-hook": [agent, "install-hook", "--root", "ROOT", "--dry-run"],
        "render": [str(programs / "os-update-agent-render"), "/nowhere"],
        "worker": ["/usr/bin/python3", "-I", launcher, "os_update_agent.worker", "name"],
        "checkout's hook": ["/usr/bin/python3", "-I", launcher, "os_update_agent.hook"],
    }


@pytest.mark.parametrize("name", list(argvs(Path("/"))))
def test_no_program_imports_from_the_working_directory_or_the_environment(
    installed: Path, planted: Path, tmp_path: Path, name: str
) -> None:
    argv = [str(installed) if word == "ROOT" else word for word in argvs(installed)[name]]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(planted), "PYTHONPATH": str(planted)}
    environment["OS_UPDATE_AGENT_CONFIG"] = str(configuration(tmp_path))
    stdin = json.dumps(DELETED) if "hook" in name else "{}"
    done = subprocess.run(argv, input=stdin, cwd=planted, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "mark").exists(), (tmp_path / "mark").read_text()
    if name.endswith("hook") and name != "install-hook":
        assert json.loads(done.stdout)["deploy_status_code"] == 0


def test_the_oldest_python_for_its_libraries_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "try_out", lambda *_: None)
    tree, _ = code.code(with_python(tmp_path))
    minor = code.oldest_minor(tree)
    assert f"for Python 3.{minor} and later, whichever the distribution has" in said(tmp_path)
    assert launch.OLDEST[1] <= minor <= sys.version_info[1]
    wants = b"Name: x\nRequires-Python: !=3.0.*,>=3.99\n"
    assert code.oldest_minor(Tree("/x", {"lib/x-1.dist-info/METADATA": wants})) == 99


# --- another version


def said(root: Path) -> List[str]:
    lines: List[str] = []
    target.install(target.target(root), lines.append)
    return lines


def test_another_version_comes_beside_the_one_that_runs_and_older_ones_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "try_out", lambda *_: None)
    root = with_python(tmp_path)
    names = []
    for version in ("1.0", "1.1", "1.2"):
        monkeypatch.setattr(code, "__version__", version)
        said(root)
        names.append(code.present(root))
    assert [name.split("-")[0] for name in names] == ["1.0", "1.1", "1.2"]
    assert sorted(path.name for path in (root / HOME.lstrip("/") / "code").iterdir()) == names[1:]
    # Again: the code before stays, for a run that may be using it.
    assert [line for line in said(root) if not line.startswith(("as it should be", "enabled"))] == []
    assert sorted(path.name for path in (root / HOME.lstrip("/") / "code").iterdir()) == names[1:]

    target.remove(target.target(root), lambda _: None)
    assert [path.name for path in (root / HOME.lstrip("/")).rglob("*") if not path.is_dir()] == []


@pytest.mark.parametrize("damage", ["changed", "missing", "more", "mode"])
def test_damaged_code_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    monkeypatch.setattr(code, "try_out", lambda *_: None)
    root = with_python(tmp_path)
    said(root)
    hook = library(root) / "os_update_agent/hook.py"
    content = hook.read_bytes()
    if damage == "changed":
        hook.write_bytes(content + b"#")
    elif damage == "missing":
        hook.unlink()
    elif damage == "more":
        hook.with_name("sqlite3.py").touch()
    else:
        hook.chmod(0o666)
    assert [line for line in said(root) if line.startswith("renewed")] == [f"renewed: {HOME}/code/{code.present(root)}"]
    assert hook.read_bytes() == content and not hook.with_name("sqlite3.py").exists()
    assert stat.S_IMODE(hook.stat().st_mode) == 0o644


def test_caches_of_python_are_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "try_out", lambda *_: None)
    root = with_python(tmp_path)
    said(root)
    subprocess.run([sys.executable, "-I", "-m", "compileall", "-q", str(library(root) / "os_update_agent")], check=True)
    assert not [line for line in said(root) if line.startswith("renewed")]


def test_code_that_does_not_run_is_never_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = with_python(tmp_path)
    monkeypatch.setattr(code, "_THEIRS", ())
    with pytest.raises(CommandFailed, match="No module named"):
        said(root)
    assert code.present(root) == "" and list(code.others(root)) == []


# --- which Python


@pytest.mark.parametrize(
    ("names", "link", "found"),
    [
        (["python3.13"], "python3.13", "/usr/bin/python3"),
        (["python3.6", "python3.9", "python3.11"], "python3.6", "/usr/bin/python3.11"),
        (["python3.9"], "/etc/alternatives/python3", "/usr/bin/python3"),
        (["python3.12"], "", "/usr/bin/python3.12"),
    ],
)
def test_the_distributions_own_python_runs_it_unless_it_is_too_old(
    tmp_path: Path, names: List[str], link: str, found: str
) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "etc/alternatives").mkdir(parents=True)
    (tmp_path / "etc/alternatives/python3").symlink_to(f"/usr/bin/{names[0]}")
    for name in names:
        (tmp_path / "usr/bin" / name).touch()
    if link:
        (tmp_path / "usr/bin/python3").symlink_to(link)
    assert code.interpreter(tmp_path) == found


@pytest.mark.parametrize(("link", "why"), [("", "is not there"), ("python3.6", "is Python 3.6")])
def test_a_root_without_a_python_for_it_is_refused_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], link: str, why: str
) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    if link:
        (tmp_path / "usr/bin" / link).touch()
        (tmp_path / "usr/bin/python3").symlink_to(link)
    assert main.main(["install-hook", "--root", str(tmp_path)]) == 2
    assert f"/usr/bin/python3 in {tmp_path} {why}; the agent needs the distribution's" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["usr"]


def test_without_a_library_the_agent_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "REQUIRED", ("requests", "no_such_library"))
    with pytest.raises(UsageError, match="cannot import no_such_library: install the agent with pip"):
        code.code(with_python(tmp_path))


def test_without_keystoneauth_the_agent_is_installed_and_says_what_it_cannot_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "try_out", lambda *_: None)
    monkeypatch.setattr(code, "OPTIONAL", ("no_such_library",))
    assert (
        "without no_such_library: results over HEAT_SIGNAL and ZAQAR_SIGNAL cannot be sent"
        in said(with_python(tmp_path))[-1]
    )


# --- an interpreter that cannot run the agent now


@pytest.mark.parametrize(
    "fault", ["ImportError(chr(34) + chr(92) + chr(10))", "MemoryError", "OSError(24, 'Too many open files')"]
)
def test_a_hook_that_cannot_be_loaded_is_a_failure_in_words(tmp_path: Path, fault: str) -> None:
    package = tmp_path / "os_update_agent"
    package.mkdir()
    (package / "__init__.py").touch()
    for module in ("hook", "worker"):
        (package / f"{module}.py").write_text(f"raise {fault}\n")
    (package / "launch.py").write_bytes(Path(launch.__file__).read_bytes())
    # No other Python that could be tried.
    argv = [
        sys.executable,
        "-I",
        "-c",
        "import sys, runpy; sys.path.insert(0, sys.argv.pop(1)); import os_update_agent"
        ".launch as l; l.following = lambda *_: None; sys.exit(l.launch(sys.argv[1]))",
        str(tmp_path),
    ]
    done = subprocess.run([*argv, launch.HOOK], capture_output=True, text=True)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["deploy_status_code"]) == (0, 1)
    assert "cannot load os_update_agent.hook" in answer["deploy_stderr"] and "Traceback" not in done.stderr
    done = subprocess.run([*argv, "os_update_agent.worker"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "") and "Traceback" not in done.stderr


def test_each_python_of_the_node_is_tried_once() -> None:
    system, others = "/usr/bin/python3.13", ["/usr/bin/python3.13", "/usr/bin/python3.11"]
    assert launch.following(system, system, others) == "/usr/bin/python3.11"
    assert launch.following("/usr/bin/python3.11", system, others) is None
    assert launch.following("/usr/bin/python3.6", "/usr/bin/python3.6", others) == "/usr/bin/python3.13"
    assert launch.following("/opt/own/python3.12", system, others) is None


def test_the_pythons_that_are_new_enough_are_found(tmp_path: Path) -> None:
    for name in ("python3", "python3.6", "python3.9", "python3.11", "python3.11-config", "python3.9m", "python2.7"):
        (tmp_path / name).touch()
    assert launch.pythons(str(tmp_path)) == [f"{tmp_path}/python3.11", f"{tmp_path}/python3.9"]


def test_a_python_without_its_library_gives_way_to_another_one(installed: Path, tmp_path: Path) -> None:
    """As on a Debian between the packages python3.13-minimal and libpython3.13-stdlib. In a mount namespace, /usr is
    that of Debian sid without the module sqlite3, but with this machine's older Python.
    """
    sid.needed()
    usr = sid.root() / "usr"
    new, old = os.readlink(usr / "bin/python3"), Path("/usr/bin/python3").resolve().name
    top, saved = tmp_path / "top", tmp_path / "saved"
    script = (
        f"set -e; mkdir -p {top}/bin {top}/lib/{old} {top}/lib/{new} {saved}; cp /usr/bin/{old} {top}/bin/\n"
        f"mknod {top}/lib/{new}/sqlite3 c 0 0; mount --bind /usr/lib/{old} {saved}\n"
        f"mount -t overlay -o lowerdir={top}:{usr} none /usr; mount --bind {saved} /usr/lib/{old}\n"
        f"exec {installed}{PROGRAMS}/os-update-agent --version\n"
    )
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, cwd="/")
    assert (done.returncode, done.stdout) == (0, f"os-update-agent {__version__}\n"), done.stderr
    assert done.stderr == f"os-update-agent: /usr/bin/python3 cannot run the agent now; starting /usr/bin/{old}\n"
