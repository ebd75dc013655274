"""Each verb, and the hook, with closed or full streams, small limits, and an odd environment: a clear exit status, no
traceback, and never that of a bug. Where nothing depends on the start of Python, a fork of this process is the command.
"""

import contextlib
import ctypes
import io
import logging
import os
import resource
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Tuple

import pytest

from cli.inside import inside, prepared, quick_directory
from ledger.stored import KEY, old_ledger
from os_update_agent import hook
from os_update_agent.cli import main

AGENT = Path(__file__).parents[2] / "agent"
SECONDS = 20
_NEW_MOUNTS = 0x00020000  # CLONE_NEWNS
DEPLOYMENT = (
    '{"id": "c1", "inputs": [{"name": "deploy_action", "value": "DELETE"}, {"name": "deploy_stack_id", "value": "s/1"},'
    ' {"name": "deploy_resource_name", "value": "r"}]}'
)
VERBS: Mapping[str, Tuple[str, ...]] = {
    "status": (),
    "history": (),
    "show": ("2026-11-02T10:00:00Z", "--key", KEY),
    "diff": ("2026-11-01T10:00:00Z", "2026-11-03T10:00:00Z", "--key", KEY),
    "plan": ("--key", "new", "--no-refresh"),
    "update": ("v9", "--key", "new"),
    "rollback": ("2026-11-01T10:00:00Z", "--key", KEY),
    "resume": ("--patience", "0"),
    "replay": ("deployment.json", "--no-signal"),
    "notify": ("deployment.json",),
    "prune": (),
    "forget": ("--key", "looks"),
    "man": (),
    "completion": ("bash",),
    "install-hook": ("--root", "elsewhere", "--check"),
    "hook": (),
}


def test_every_verb_is_asked() -> None:
    # Both play deliveries with real packages, which takes too long for so many ways.
    assert set(main.COMMANDS) - set(VERBS) == {"demo", "selftest"}


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with quick_directory() as directory:
        prepared(directory)
        (directory / "deployment.json").write_text(DEPLOYMENT, encoding="utf-8")
        (directory / "elsewhere").mkdir()
        old_ledger(directory)
        yield directory


# --- streams and limits


def put(number: int, path: str, flags: int) -> None:
    opened = os.open(path, flags)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)


def no_reader(number: int) -> None:
    read, write = os.pipe()
    os.close(read)
    os.dup2(write, number)


def without_directory() -> None:
    gone = Path(os.getcwd(), "gone")
    gone.mkdir(exist_ok=True)
    os.chdir(gone)
    gone.rmdir()


def full(name: str) -> None:
    """Mount a file system without room over a directory of the node, for this process alone."""
    place = Path(os.getcwd(), name)
    place.mkdir(mode=0o700, exist_ok=True)
    if ctypes.CDLL(None).unshare(_NEW_MOUNTS):
        raise OSError("no mounts of its own")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "none", place], check=True)
    with contextlib.suppress(OSError), open(place / "filler", "wb", buffering=0) as filler:
        while filler.write(b"0" * 4096):
            pass


def few_files(count: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


def all_full() -> None:
    for number in (0, 1, 2):
        put(number, "/dev/full", os.O_RDWR)


WAYS: Dict[str, Callable[[], object]] = {
    "stdin is closed": lambda: os.close(0),
    "stdin is a directory": lambda: put(0, "/", os.O_RDONLY),
    "stdin is full of zeros": lambda: put(0, "/dev/zero", os.O_RDONLY),
    "stdout is closed": lambda: os.close(1),
    "stdout is full": lambda: put(1, "/dev/full", os.O_WRONLY),
    "stdout has no reader": lambda: no_reader(1),
    "stdout is read-only": lambda: put(1, "/dev/null", os.O_RDONLY),
    "stderr is closed": lambda: os.close(2),
    "stderr is full": lambda: put(2, "/dev/full", os.O_WRONLY),
    "stderr has no reader": lambda: no_reader(2),
    "all are closed": lambda: os.closerange(0, 3),
    "all are full": all_full,
    **{f"{count} files": partial(few_files, count) for count in (6, 12)},
    "short files": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)),
    "no directory": without_directory,
    "umask 777": lambda: os.umask(0o777),
    "the run directory is full": lambda: full("run"),
    "the log directory is full": lambda: full("log"),
    "SIGPIPE": lambda: signal.signal(signal.SIGPIPE, signal.SIG_DFL),
}


class Ended(NamedTuple):
    status: int
    out: str
    err: str


def forked(directory: Path, verb: str, prepare: Callable[[], object]) -> Ended:
    """Run a verb in a fork of this process, whose streams are opened as Python does it at its start."""
    out, err = directory / "out", directory / "err"
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            signal.alarm(SECONDS)
            os.chdir(directory)
            os.closerange(3, 4096)
            # pytest's log file was among them: its handler would write into the next file with that number.
            logging.root.handlers.clear()
            put(0, "/dev/null", os.O_RDONLY)
            put(1, str(out), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            put(2, str(err), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            arguments = [str(directory / one) if (directory / one).exists() else one for one in VERBS[verb]]
            prepare()
            sys.stdin, sys.stdout, sys.stderr = (_stream(number) for number in (0, 1, 2))
            if verb == "hook":
                status = hook.main()
            else:
                status = main.main(["--config", str(directory / "agent.conf"), verb, *arguments])
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
        except SystemExit as stop:
            status = int(str(stop.code))
        except BaseException as error:
            err.write_text(f"Traceback: {error!r}", encoding="utf-8")
        finally:
            os._exit(status)
    _, ended = os.waitpid(pid, 0)
    texts = [path.read_text(encoding="utf-8", errors="replace") if path.exists() else "" for path in (out, err)]
    return Ended(os.waitstatus_to_exitcode(ended), *texts)


def _stream(number: int) -> Any:
    """What Python makes of a descriptor: None if it is closed."""
    try:
        os.fstat(number)
        raw = open(number, "rb" if number == 0 else "wb", buffering=-1 if number < 2 else 0, closefd=False)  # noqa: SIM115
    except OSError:
        return None

    return io.TextIOWrapper(
        raw, encoding="utf-8", errors="backslashreplace" if number == 2 else "strict", write_through=number == 2
    )


@pytest.mark.parametrize("verb", VERBS)
def test_no_stream_and_no_limit_is_a_bug(directory: Path, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inside(directory, monkeypatch)
    monkeypatch.setenv("HOME", str(directory))
    content = (directory / "state/ledger.sqlite").read_bytes()
    for name, prepare in WAYS.items():
        if name.endswith(" is full") and "directory" in name and os.geteuid():
            continue
        (directory / "state/ledger.sqlite").write_bytes(content)
        for left in directory.glob("state/ledger.sqlite-journal"):
            left.unlink()
        ended = forked(directory, verb, prepare)
        where = f"{verb}, {name}: {ended}"[:1500]
        # A process may be ended by the signal for a file that is too long only if Python did not ignore it.
        assert ended.status in (0, 1, 2, 75), where
        assert "Traceback" not in ended.out + ended.err, where
        assert "bug in os-update-agent:" not in ended.out + ended.err, where


@pytest.mark.parametrize("verb", ["hook", "replay", "status", "update"])
def test_no_number_of_open_files_is_a_bug(directory: Path, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inside(directory, monkeypatch)
    for count in range(3, 20):
        ended = forked(directory, verb, partial(few_files, count))
        assert ended.status in (0, 1, 2, 75), f"{verb}, {count} files: {ended}"[:1500]
        assert not [word for word in ("Traceback", "bug in os-update-agent:") if word in ended.out + ended.err], ended


# --- the environment that Python starts in

ENVIRONMENTS: Mapping[str, Mapping[str, str]] = {
    "C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "no such locale": {"LC_ALL": "xx_YY.nosuch", "LANG": "xx_YY.nosuch"},
    "ascii": {"PYTHONIOENCODING": "ascii:strict"},
    "two bytes": {"PYTHONIOENCODING": "utf-16"},
    "latin-1": {"PYTHONIOENCODING": "latin-1:strict"},
    "no home": {"HOME": ""},
    "no time zone": {"TZ": "No/Such"},
    "no terminal": {"TERM": "", "COLUMNS": "0", "LINES": "x"},
    "no path": {"PATH": ""},
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_no_environment_is_a_bug(directory: Path, name: str) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(AGENT), **ENVIRONMENTS[name]}
    argv: List[List[str]] = [["-m", "os_update_agent", "--config", str(directory / "agent.conf"), "status"]]
    argv += [[*argv[0][:-1], "show", "2026-11-02T10:00:00Zé\udcff", "--key", KEY]]
    for one in argv:
        done = subprocess.run([sys.executable, *one], env=environment, cwd="/", capture_output=True, check=False)
        said = done.stdout + done.stderr
        assert done.returncode in (0, 1, 2), said
        assert b"Traceback" not in said and b"bug in os-update-agent:" not in said, said
