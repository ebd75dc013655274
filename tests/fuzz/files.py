"""Targets that read files: the ledger as bytes, and the files of a node that the agent does not write itself."""

import atexit
import json
import os
import random
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from fuzz.target import Target, as_bytes
from ledger.stored import KEY, old_ledger
from os_update_agent.cli.replay import _check_group
from os_update_agent.config import settings
from os_update_agent.delivery.notify import _body
from os_update_agent.heat import alternate_targets, deployed_files, deployment, metadata, secret_audit
from os_update_agent.install.render import agent_conf
from os_update_agent.ledger import Ledger, peek
from os_update_agent.model.deliveries import Delivery, Request, SignalTarget
from os_update_agent.model.errors import AgentError, BadDeployment, LedgerError, UsageError
from os_update_agent.model.etc_files import listing_of
from os_update_agent.model.packages import PackageState
from os_update_agent.model.policy import Policy
from os_update_agent.node import kind, locks, offline_updates, reboot
from os_update_agent.packages.dnf import default_streams, history5, modules, suggestions
from os_update_agent.packages.dnf import locks as dnf_locks
from os_update_agent.packages.dnf import reboot as dnf_reboot
from os_update_agent.packages.dnf import settings as dnf_settings


@cache
def place() -> Path:
    """A directory in memory, if there is one, that goes with this process."""
    memory = Path("/dev/shm")
    directory = tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)
    atexit.register(directory.cleanup)
    return Path(directory.name)


def written(text: str, name: str) -> Path:
    """Write a file that may have any bytes and return its path."""
    path = place() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(as_bytes(text))
    return path


# --- the ledger


@cache
def _ledger() -> bytes:
    path = old_ledger(place() / "old")
    Ledger(path).close()
    content = path.read_bytes()
    path.unlink()
    return content


def _damaged(text: str) -> bytes:
    """Return the ledger with some bytes changed, moved, or gone. The text decides, as the seed of the choices."""
    chance = random.Random(text.encode("utf-8", "surrogatepass"))
    content = bytearray(_ledger())
    for _ in range(chance.randint(1, 8)):
        start = chance.choice((chance.randrange(4096), chance.randrange(len(content)))) % len(content)
        length = chance.choice((1, 1, 2, 8, 100, 4096))
        kind_of_edit = chance.randrange(5)
        if kind_of_edit == 0:
            content[start : start + length] = chance.randbytes(length)
        elif kind_of_edit == 1:
            content[start : start + length] = b"\0" * length
        elif kind_of_edit == 2:
            content[start] ^= 1 << chance.randrange(8)
        elif kind_of_edit == 3:
            other = chance.randrange(len(content))
            content[start : start + length] = content[other : other + length]
        else:
            del content[max(1, start + chance.randrange(len(content))) :]
    return bytes(content)


def _ledger_bytes(text: str) -> None:
    """Open a damaged ledger, read everything, and receive a delivery. Only a LedgerError may come of it."""
    path = place() / "state/ledger.sqlite"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.with_name("ledger.sqlite-journal").unlink(missing_ok=True)
    path.write_bytes(_damaged(text))
    peek(path, "value", "before", "key", "run")
    with suppress(LedgerError):
        ledger = Ledger(path)
        try:
            _read(ledger)
        finally:
            ledger.close()


def _read(ledger: Ledger) -> None:
    def received() -> object:
        request = Request(SignalTarget("CFN_SIGNAL", "s/1", "r", secret={"url": "http://x/"}))
        policy = Policy(key=KEY, value="v").as_json()
        ledger.receive(Delivery("new", KEY, "v", "UPDATE", 1.0, policy, request=request))
        return ledger.finish("new", "{}", request.signal, 2.0)

    reads = (
        *(ledger.histories, ledger.runs, ledger.open_runs, ledger.damaged_open_runs, ledger.unfinished, ledger.signals),
        *(ledger.owed, ledger.archive_entries, ledger.damaged, received, lambda: ledger.holdings(KEY)),
        *(lambda: list(ledger.walk_runs()), lambda: ledger.history(KEY), lambda: ledger.last_policy(KEY)),
        *(lambda: ledger.claims(KEY), lambda: ledger.state(2), lambda: ledger.state(6), lambda: ledger.run(9)),
    )
    for read in reads:
        with suppress(LedgerError):
            read()


def _state(text: str) -> None:
    lines = text.split("\n")
    with suppress(TypeError):
        PackageState.of_lines("apt", "amd64", lines)
    with suppress(ValueError, TypeError, RecursionError):
        listing_of(lines)


# --- files of the node


def _node(text: str) -> None:
    """Everything that is read below the root of a node, and in the run directory."""
    root = place() / "root"
    for name in _NODE_FILES:
        written(text, f"root/{name}")
    offline_updates.offline_updates(root)
    kind.unsuitable(root, root / "proc")
    reboot.reboot_reasons(root)
    reboot.unit_of(text)
    locks.note_in(root / "lock")
    locks.works_for_node_holder(2, root / "lock")
    locks._told(root / "lock")
    suggestions.kept(root)
    default_streams.kept(root, [("a", "b", "1")])
    dnf_locks._writer(root / "lock")
    for read in (
        lambda: modules.modules4(root),
        lambda: modules.modules5(root),
        lambda: history5.marks(root),
        lambda: dnf_reboot.names_below(root),
        lambda: dnf_settings.read_settings(root, drop_ins=True),
    ):
        with suppress(AgentError):
            read()


def _collect_config(text: str) -> None:
    path = written(text, "os-collect-config.conf")
    metadata._collectors(path)
    alternate_targets._sections(path)
    list(secret_audit._cache(path))
    secret_audit.readable_by_all(path)
    target = SignalTarget("CFN_SIGNAL", secret={"url": "http://127.0.0.1/v1/x?Signature=s"})
    alternate_targets.other_targets(target, path)


def _conf(text: str) -> object:
    return settings.load(str(written(text, "agent.conf")))


def _lists(text: str) -> None:
    """What heat-config and os-collect-config have, and heat-config's copy of a deployment."""
    os.environ["HEAT_SHELL_CONFIG"] = str(written(text, "heat-config"))
    os.environ["HEAT_CONFIG_DEPLOYED"] = str(written(text, "deployed/c1.json").parent)
    metadata.overtaken_on_arrival("c1")
    deployed_files.forget_signal("c1")
    with suppress(ValueError, RecursionError):
        content = json.loads(text)
        for deployments in metadata._lists(content):
            metadata.overtaker(metadata.parse_list(deployments), "c1")
        if isinstance(content, dict):
            agent_conf(content, "")
            agent_conf({"os-update-agent": content}, "")


def _replayed(text: str) -> None:
    """A file for ``replay``, and a deployment and a result for ``notify``."""
    with suppress(UsageError):
        _check_group("file", text)
    with suppress(BadDeployment):
        deployment.parse(text)
    body = _body(as_bytes(text))
    assert body.isascii() and isinstance(json.loads(body), dict)


_NODE_FILES = (
    *("system-update", "etc/os-release", "run/reboot-required", "run/reboot-required.pkgs", "var/run/reboot-required"),
    *("proc/self/mountinfo", "proc/1/comm", "proc/1/cmdline", "proc/1/environ", "proc/1/stat", "proc/stat", "lock"),
    *("reboot-suggested.json", "default-streams.json", "modules.toml", "packages.toml", "groups.toml"),
    *("etc/dnf/modules.d/a.module", "etc/dnf/dnf.conf", "etc/dnf/plugins/needs-restarting.d/a.conf"),
    *("usr/lib/sysimage/libdnf5/offline/offline-transaction-state.toml", "var/lib/PackageKit/prepared-update"),
    "var/lib/dnf/system-upgrade/system-upgrade-state.json",
)
_NODE = (
    'ID=debian\nNAME="Debian GNU/Linux"\n',
    "36 35 98:0 / / rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"
    "37 35 0:1 /\\040x /usr ro - overlay o rw\n",
    "1 (sys temd) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 9 10 11 12 200 13\nbtime 1700000000\n",
    '[["app", "x86_64", "1-1"]]',
    '[[["a", "b", "1"], "perl", "5.30"]]',
    '{"pid": 1, "doing": "deployment c1"}',
    "[perl]\nname=perl\nprofiles=common\nstate=enabled\nstream=5.30\n",
    'version = "1.0"\n\n[modules]\n[modules.perl]\nenabled_stream = "5.30"\nstate = "Enabled"\n'
    'installed_profiles = ["a"]\n',
    'version = "1.0"\n[packages]\n"app.x86_64" = {reason = "User"}\n',
    "[main]\ninstallonlypkgs = kernel\npersistdir = /var/lib/dnf\n",
    "container=podman\0KUBERNETES_SERVICE_HOST=1\0",
    "0::/system.slice/os-collect-config.service\n",
)
_COLLECT = (
    "[DEFAULT]\ncachedir = /var/run/os-collect-config\ncollectors = heat\n[heat]\nauth_url = http://k/v3\nuser_id = u\n"
    "password = p$$w\nproject_id = p\n[cfn]\naccess_key_id = a\nsecret_access_key = s\n",
)
_CONFS = ("[node]\nroot = /srv/root\n[paths]\nstate = /s\n[defaults]\nkeep = 3\n", "[signal]\nca_certificate = /c\n")
_DEPLOYMENT = (
    '{"id": "c1", "group": "package-update", "creation_time": "2026", "inputs": ['
    '{"name": "deploy_stack_id", "value": "s"},'
    ' {"name": "deploy_resource_name", "value": "r"}, {"name": "deploy_action", "value": "UPDATE"},'
    ' {"name": "deploy_signal_transport", "value": "CFN_SIGNAL"}, {"name": "deploy_signal_id", "value": "http://x/"}]}'
)
_LISTS = (
    f"[{_DEPLOYMENT}]",
    _DEPLOYMENT,
    f'{{"heat": {{"deployments": [{_DEPLOYMENT}]}}}}',
    '{"node": {"root": "/x"}}',
)
_RESULT = '{"deploy_stdout": "out", "deploy_stderr": "", "deploy_status_code": 0, "changes": {"count": 1}}'
_STATE = (
    'app\tamd64\t1.0-1\ntool\tall\t2\tinstalled\thold\tok\tauto\t0123\n=[]\n=["diversion", "/a", "/b", "c"]\n',
    '["/etc/app.conf", "file", "644", "0:0", "abc", true, "app"]\n["/etc/l", "link", "", "0:0", "x"]',
)

TARGETS = (
    Target("ledger bytes", _ledger_bytes, ("a", "b", "c"), (), share=0.15),
    Target("files of the node", _node, _NODE, (), share=0.3),
    Target("os-collect-config.conf", _collect_config, _COLLECT, (), share=0.5),
    Target("agent.conf as bytes", _conf, _CONFS, share=0.5),
    Target("lists of deployments", _lists, _LISTS, (), share=0.5),
    Target("replay and notify", _replayed, (_DEPLOYMENT, _RESULT), ()),
    Target("state", _state, _STATE, ()),
)
