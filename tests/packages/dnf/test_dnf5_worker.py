"""The child that speaks dnf 5's API, without the agent around it: its lock, and what it leaves when it dies while it
closes dnf's record.

What is run here runs in the root of sid, under the Python that has the bindings.
"""

import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Dict, Iterator

import pytest

from os_update_agent.packages.dnf import history5
from os_update_agent.packages.dnf.settings import read_settings
from os_update_agent.testing.rpm_repository import DATABASE, Rpm, native_architecture
from packages import sid
from packages.hand_rpm import WAITS, Dnf5Hand
from packages.node import CHECKOUT, PATIENCE, wait_until

# argv: root, archive, and what each program needs besides. "link" is where somebody waits for the answer.
HEAD = """
import os, socket, sys
from pathlib import Path
from os_update_agent.node.locks import holder
from os_update_agent.packages.dnf.protocol import *
from os_update_agent.packages.worker.caller import Caller
from os_update_agent.packages.dnf.worker.server import Desk
from os_update_agent.packages.dnf.worker.dnf5.actions import DNF
from os_update_agent.packages.dnf.worker.dnf5 import interrupted as dnf5_interrupted
from os_update_agent.packages.dnf.worker.dnf5 import transaction as dnf5_transaction
from os_update_agent.packages.dnf.settings import read_settings
root, archive = sys.argv[1:3]
link, theirs = socket.socketpair()
def answer(request):
    return Desk(lambda: DNF).answer(request, Caller(link))
"""
# Whether the locks are held is asked by another process: a process does not see its own.
LOOK = """
locks = read_settings(Path(root), drop_ins=True).locks
def look():
    pid = os.fork()
    if not pid:
        os._exit(0 if [holder(path) for path in locks] == [os.getppid()] * len(locks) else 1)
    print("held" if os.waitpid(pid, 0)[1] == 0 else "free")
look()
caller = Caller(link)
caller.check = look
with dnf5_transaction.locked(root, caller):
    pass
look()
"""
TRANSACT = """
if sys.argv[3] == "alone":
    theirs.close()
identity = ("tool", "%s", "2.0-1")
print(answer(Transact(root, "by a test", Todo(((identity, "user"),), (sys.argv[4],), (), "%s", True))))
"""
# What an operator does between the rehearsal and the transaction comes last.
REHEARSED = """
import subprocess
path, command = sys.argv[3:]
desk, resolved = Desk(lambda: DNF), []
resolve = dnf5_transaction.resolve
def counting(base, todo):
    resolved.append(None)
    return resolve(base, todo)
dnf5_transaction.resolve = counting
identity = ("tool", "%s", "2.0-1")
todo = Todo(((identity, "user"),), (path,), (), "%s", True)
print(desk.answer(Effect(root, todo), Caller(link)))
# Between the last look at the database and the lock.
lock = dnf5_transaction.locked
def locking(*arguments):
    subprocess.run(["sh", "-ec", command], check=True, stdout=subprocess.DEVNULL)
    return lock(*arguments)
dnf5_transaction.locked = locking
print(desk.answer(Transact(root, "", todo), Caller(link)))
print(len(resolved))
desk.clear()
"""
MARKED = """
import subprocess
lock = dnf5_transaction.locked
def locking(*arguments):
    subprocess.run(["sh", "-ec", sys.argv[3]], check=True, stdout=subprocess.DEVNULL)
    dnf5_transaction.locked = lock
    return lock(*arguments)
dnf5_transaction.locked = locking
print(answer(Mark(root, "by a test", (("tool", "%s", "1.0-1"),), "dependency")))
"""
# What libdnf5 itself has read.
SETTINGS = """
from os_update_agent.packages.dnf.worker.dnf5 import dnf_base as dnf5_base
base = dnf5_base.opened_for(root)
config = base.get_config()
print(*config.installonlypkgs)
print(config.transaction_history_dir)
"""
# As with the dnf of Fedora 41 to 43.
FETCH = """
import libdnf5
if sys.argv[3] == "5.2":
    del libdnf5.rpm.Package.is_pkg_gpgcheck_enabled
def never(*arguments):
    raise AssertionError("it lies on the disk")
libdnf5.repo.PackageDownloader.add = never
identity = ("tool", "%s", "2.0-1")
answer(Refresh(root))
print(answer(Fetch(root, (identity,), ("",), (archive + "/tool.rpm",), archive, archive + "/progress")))
"""
# Dies before the given call, counted from 0.
COMPLETE = """
set_reasons = dnf5_interrupted.set_reasons
calls = []
def dying(*arguments):
    if len(calls) == int(sys.argv[3]):
        os._exit(9)
    calls.append(arguments)
    set_reasons(*arguments)
dnf5_interrupted.set_reasons = dying
print(answer(Complete(root, "%s", archive, False)))
"""


@pytest.fixture(scope="module", autouse=True)
def _root_of_sid() -> None:
    sid.needed()


@pytest.fixture
def hand(tmp_path: Path) -> Iterator[Dnf5Hand]:
    (tmp_path / "archive").mkdir()
    hand = Dnf5Hand(tmp_path)
    hand.add(Rpm("tool", "1.0"), Rpm("lib", "1.0"), Rpm("app", "1.0", requires=["lib"]))
    hand.publish()
    hand.make("tool", "app")
    yield hand
    hand.let_go()


def told(hand: Dnf5Hand, program: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    code = (HEAD + program).replace("%s", native_architecture())
    argv = [
        *hand.wrapper,
        hand.python,
        "-B",
        "-c",
        code,
        str(hand.root),
        str(hand.directory / "archive"),
        *map(str, arguments),
    ]
    environment = {**hand.environment(), "PYTHONPATH": str(CHECKOUT / "agent")}
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=PATIENCE)


def is_unfinished(hand: Dnf5Hand) -> bool:
    return history5.is_unfinished(read_settings(hand.root, drop_ins=True).history)


def cut_off(hand: Dnf5Hand) -> None:
    """Kill somebody's own upgrade in the middle."""
    process = hand.start_upgrading()
    wait_until(hand.is_waiting, "the scriptlet")
    process.kill()
    process.wait()
    hand.let_go()


def marks(hand: Dnf5Hand) -> Dict[str, str]:
    mark_of = history5.marks(read_settings(hand.root, drop_ins=True).state)
    return {name: mark_of(name, native_architecture()) for name, _ in hand.rows()}


def test_what_libdnf5_reads_from_its_drop_in_directories_is_read_here(hand: Dnf5Hand) -> None:
    files = {
        "etc/dnf/libdnf5.conf.d/20-first.conf": "installonlypkgs = first\ntransaction_history_dir = /srv/first\n",
        "etc/dnf/libdnf5.conf.d/60-own.conf": "installonlypkgs = own, other\n",
        "usr/share/dnf5/libdnf.conf.d/60-own.conf": "installonlypkgs = hidden\ntransaction_history_dir = /srv/hidden\n",
        "usr/share/dnf5/libdnf.conf.d/90-last.conf": "transaction_history_dir = /srv/last\n",
        "usr/share/dnf5/libdnf.conf.d/95-none": "installonlypkgs = none\n",
    }
    for name, text in files.items():
        (hand.root / name).parent.mkdir(parents=True, exist_ok=True)
        (hand.root / name).write_text(f"[main]\n{text}", encoding="utf-8")
    install_only, history = told(hand, SETTINGS).stdout.splitlines()
    settings = read_settings(hand.root, drop_ins=True)
    assert set(settings.install_only) == set(install_only.split())
    assert {"first", "own", "other"} <= set(settings.install_only)
    assert settings.history == hand.root / history.lstrip("/") == hand.root / "srv/last"
    # dnf 4 knows nothing of them.
    assert "own" not in read_settings(hand.root).install_only


def test_whoever_waits_is_looked_for_under_the_lock_of_dnf(hand: Dnf5Hand) -> None:
    """libdnf5 takes none: between a look and its lock another agent could have found it free."""
    assert told(hand, LOOK).stdout.split() == ["free", "held", "free"]
    # What is left behind does not keep anybody who is not root from listing packages.
    locks = [path for path in read_settings(hand.root, drop_ins=True).locks if path.exists()]
    assert locks and all(path.stat().st_mode & 0o444 == 0o444 for path in locks)


def test_a_transaction_that_nobody_waits_for_any_more_is_not_begun(hand: Dnf5Hand) -> None:
    hand.add(Rpm("tool", "2.0"))
    (path,) = hand.repository.directory.glob("tool-2.0-*")
    assert "the agent that wanted this transaction is gone" in told(hand, TRANSACT, "alone", path).stdout
    assert hand.versions()["tool"] == "1.0-1" and not is_unfinished(hand)
    # It is the very request that works where somebody waits for it.
    assert "complaints=[]" in told(hand, TRANSACT, "awaited", path).stdout
    assert hand.versions()["tool"] == "2.0-1"


def test_no_transaction_is_begun_beside_another_dnf(hand: Dnf5Hand) -> None:
    hand.add(Rpm("byhand", "1.0", scripts={"post": WAITS}), Rpm("tool", "2.0"))
    hand.publish()
    (path,) = hand.repository.directory.glob("tool-2.0-*")
    process = hand.start_installing("byhand")
    try:
        wait_until(hand.is_waiting, "the other dnf's scriptlet")
        assert "another dnf is at work" in told(hand, TRANSACT, "awaited", path).stdout
    finally:
        hand.let_go()
        process.wait()
    assert hand.versions()["tool"] == "1.0-1" and hand.versions()["byhand"] == "1.0-1"


BY_HAND = {
    "nothing": "true",
    "a mark of another package": "dnf5 -q -y --installroot={root} --no-plugins mark dependency app",
    "a mark of the same package": "dnf5 -q -y --installroot={root} --no-plugins mark dependency tool",
    "a removal": "dnf5 -q -y --installroot={root} --no-plugins remove app",
    "a removal by rpm": "rpm --root {root} --dbpath {database} -e app",
    "a setting": "echo tsflags=test >> {root}/etc/dnf/dnf.conf",
    "a protected package": "mkdir -p {root}/etc/dnf/protected.d; echo app > {root}/etc/dnf/protected.d/own.conf",
}


@pytest.mark.parametrize("what", BY_HAND)
def test_what_was_rehearsed_is_run_unless_another_was_at_work(hand: Dnf5Hand, what: str) -> None:
    hand.add(Rpm("tool", "2.0"))
    (path,) = hand.repository.directory.glob("tool-2.0-*")
    before = marks(hand)
    ended = told(hand, REHEARSED, path, BY_HAND[what].format(root=hand.root, database=DATABASE))
    assert ended.returncode == 0, ended.stderr
    # Between them is what dnf and rpm say.
    effect, *_, done, count = ended.stdout.splitlines()
    assert "'2.0-1'" in effect and int(count) == (1 if what == "nothing" else 2)
    if "mark" in what:
        before["app" if "another" in what else "tool"] = "auto"
    # dnf takes along what only app needed.
    for name in {"a removal": ("app", "lib"), "a removal by rpm": ("app",)}.get(what, ()):
        del before[name]
    assert marks(hand) == {**before, "tool": before["tool"] if what == "a setting" else "manual"}
    assert hand.versions()["tool"] == ("1.0-1" if what == "a setting" else "2.0-1")
    assert ("complaints=[]" in done or what == "a setting") and hand.faults() == ""


def test_what_has_become_impossible_since_the_rehearsal_is_refused(hand: Dnf5Hand) -> None:
    hand.add(Rpm("tool", "2.0", requires=["app"]))
    (path,) = hand.repository.directory.glob("tool-2.0-*")
    ended = told(hand, REHEARSED, path, BY_HAND["a removal"].format(root=hand.root))
    assert ended.returncode == 0, ended.stderr
    assert "error='" in ended.stdout.splitlines()[-2] and "app" in ended.stdout.splitlines()[-2]
    assert hand.versions()["tool"] == "1.0-1" and not is_unfinished(hand)


def test_a_mark_takes_back_no_other_one(hand: Dnf5Hand) -> None:
    """Whenever libdnf5 reads its record: when it is set up, or when it is asked (5.4)."""
    ended = told(hand, MARKED, BY_HAND["a mark of another package"].format(root=hand.root))
    assert "Reply(answer=None, busy='', error='')" in ended.stdout, ended.stderr
    assert marks(hand)["app"] == marks(hand)["tool"] == "auto"


@pytest.mark.parametrize("name", ["plain", "100% ours, \u00e9"])
def test_a_package_on_the_disk_is_copied_and_checked(hand: Dnf5Hand, name: str) -> None:
    hand.add(Rpm("tool", "2.0"))
    hand.publish()
    place = hand.directory / name
    hand.repository.directory.rename(place)
    hand.use(place.as_uri(), gpgcheck="1")
    assert "is not signed (repository demo, gpgcheck=1)" in told(hand, FETCH, "5.4").stdout
    hand.use(place.as_uri())
    assert told(hand, FETCH, "5.4").stdout.strip() == "Reply(answer=None, busy='', error='')"
    assert (hand.directory / "archive/tool.rpm").read_bytes() == next(place.glob("tool-2.0-*")).read_bytes()
    os.truncate(next(place.glob("tool-2.0-*")), 1000)
    # Left to librepo, which is never reached here.
    assert "it lies on the disk" in told(hand, FETCH, "5.4").stdout


@pytest.mark.parametrize("version", ["5.2", "5.4"])
def test_whether_a_package_is_to_be_signed_is_known_in_each_version(hand: Dnf5Hand, version: str) -> None:
    hand.add(Rpm("tool", "2.0"))
    hand.publish()
    hand.use(gpgcheck="1")
    assert "is not signed (repository demo, gpgcheck=1)" in told(hand, FETCH, version).stdout
    assert not (hand.directory / "archive/tool.rpm").exists()
    hand.use()
    assert told(hand, FETCH, version).stdout.strip() == "Reply(answer=None, busy='', error='')"
    assert (hand.directory / "archive/tool.rpm").exists()


def test_a_name_that_is_provided_is_obsoleted_by_nobody(hand: Dnf5Hand) -> None:
    """rpm's Obsoletes mean names of packages, and never what another one provides: that one is nobody's old half."""
    hand.add(
        Rpm("stands-in", "1.0", provides=["oldname = 1.0"]),
        Rpm("heir", "1.0", obsoletes=["oldname < 2.0", "heir < 2.0"]),
    )
    hand.add(Rpm("tool", "2.0", scripts={"post": WAITS}))
    hand.publish()
    hand.install("stands-in", "heir")
    cut_off(hand)
    assert "Reply(answer=[]" in told(hand, COMPLETE, 9).stdout
    assert hand.versions()["tool"] == "2.0-1" and {"stands-in", "heir"} <= set(hand.versions()) and hand.faults() == ""


@pytest.fixture(params=["a new dependency", "no new package"])
def interrupted(request: pytest.FixtureRequest, hand: Dnf5Hand) -> Dict[str, str]:
    """Killed in the middle. The marks that have to be there in the end."""
    new = request.param == "a new dependency"
    hand.add(Rpm("tool", "2.0", scripts={"post": WAITS}))
    if new:
        hand.add(Rpm("app", "2.0", requires=["lib", "more"]), Rpm("more", "2.0"))
    hand.publish()
    cut_off(hand)
    return {"app": "manual", "lib": "auto", "tool": "manual", **({"more": "auto"} if new else {})}


@pytest.mark.parametrize("call", [0, 1, 2])
def test_a_death_while_the_record_is_closed_is_made_good(
    hand: Dnf5Hand, interrupted: Dict[str, str], call: int
) -> None:
    """Where nothing is to be set, a mark goes there and back: two transactions, and between them it is the wrong
    one.
    """
    dies = call < (1 if "more" in interrupted else 2)
    first = told(hand, COMPLETE, call)
    assert first.returncode == (9 if dies else 0), first.stdout + first.stderr
    assert is_unfinished(hand) == dies
    if dies:
        assert "Reply(answer=[]" in told(hand, COMPLETE, 9).stdout
    assert not is_unfinished(hand)
    assert marks(hand) == interrupted and hand.faults() == ""


def test_a_record_is_closed_also_where_dnf_has_installed_nothing_itself(hand: Dnf5Hand) -> None:
    """As on an image that was made without dnf 5: every package is nobody's, and there is no reason to go there and
    back.
    """
    (read_settings(hand.root, drop_ins=True).state / "packages.toml").write_text(
        'version = "1.0"\n[packages]\n', encoding="utf-8"
    )
    hand.add(Rpm("tool", "2.0", scripts={"post": WAITS}))
    hand.publish()
    cut_off(hand)
    assert is_unfinished(hand)
    assert "Reply(answer=[]" in told(hand, COMPLETE, 9).stdout
    assert not is_unfinished(hand)
    assert marks(hand) == dict.fromkeys(("app", "lib", "tool"), "unknown") and hand.faults() == ""


@pytest.mark.parametrize("interrupted", ["no new package"], indirect=True)
def test_a_mark_that_went_there_without_an_end_comes_back(hand: Dnf5Hand, interrupted: Dict[str, str]) -> None:
    """dnf writes the reasons first, and the end of its transaction behind them."""
    assert told(hand, COMPLETE, 1).returncode == 9
    assert marks(hand) != interrupted
    with (
        closing(
            sqlite3.connect(read_settings(hand.root, drop_ins=True).history / "transaction_history.sqlite")
        ) as record,
        record,
    ):
        record.execute("UPDATE trans SET state_id = 1, dt_end = NULL WHERE id = (SELECT max(id) FROM trans)")
    assert "Reply(answer=[]" in told(hand, COMPLETE, 9).stdout
    assert not is_unfinished(hand)
    assert marks(hand) == interrupted and hand.faults() == ""


def test_a_record_that_cannot_be_written_is_told_and_made_good(hand: Dnf5Hand, interrupted: Dict[str, str]) -> None:
    record = read_settings(hand.root, drop_ins=True).state / "packages.toml"
    subprocess.run(["mount", "--bind", str(record), str(record)], check=True)
    try:
        said = told(hand, COMPLETE, 9).stdout
        assert "error=" in said and "error=''" not in said and "packages.toml" in said and "Exception" not in said
    finally:
        subprocess.run(["umount", str(record)], check=True)
    assert is_unfinished(hand)
    assert "Reply(answer=[]" in told(hand, COMPLETE, 9).stdout
    assert not is_unfinished(hand)
    assert marks(hand) == interrupted and hand.faults() == ""
