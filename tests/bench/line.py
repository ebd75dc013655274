"""Deliveries through the hook's process beside what people would use in its place, for the same work on the same
private root.
"""

import json
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Union

from bench.measuring import Failed, Figures
from bench.rows import Missing, Row
from bench.world import HOOK, NEW, TESTS, AptWorld, Goals, Turn, in_turns
from chain.install import directory, scripts
from os_update_agent.testing.receiver import Receiver

_ANSIBLE = str(TESTS.parent / ".test-venv/peers/bin/ansible")
_LOCALLY = ("localhost", "-c", "local", "-e", "ansible_python_interpreter=/usr/bin/python3")
_BARE = "python -c pass"
_UNATTENDED = "unattended-upgrade --dry-run"
PEERS = (
    (_UNATTENDED, "/usr/bin/unattended-upgrade", ["--dry-run"]),
    (
        "ansible localhost -m apt -a upgrade=dist --check",
        _ANSIBLE,
        [*_LOCALLY, "-m", "apt", "-a", "upgrade=dist", "--check"],
    ),
)
SCRIPT_HOOK = scripts(directory()).parent / "heat-config-script/install.d/hook-script.py"
GOALS = {30: Goals(update=1.30, restore=1.25), 300: Goals(1.10, restore=1.10)}
SCRIPT = "#!/bin/sh\nset -e\n"


def idle(base: Path, count: int, repeats: int) -> Iterator[Union[Row, Missing]]:
    """Deliveries that find nothing to do, where so many packages could be updated."""
    section = "nothing to do"
    world = AptWorld(base, count)
    world.keep("fresh")

    def first() -> Figures:
        world.put_back("fresh")
        return world.deliver("CREATE", "v1")

    def script() -> Figures:
        return world.run(*_heat_script(base), text=_script_config("apt-get -s -q dist-upgrade"))

    ours: List[Turn] = [
        ("the first delivery (baseline)", first),
        ("the current value again", lambda: world.deliver("UPDATE", "v1")),
        ("the same delivery again", lambda: world.deliver("UPDATE", "v1", config_id="again")),
    ]
    turns: List[Turn] = [
        (_BARE, lambda: world.run(sys.executable, "-c", "pass")),
        *ours,
        ("heat-agents' script hook: apt-get -s dist-upgrade", script),
    ]
    first()
    world.deliver("CREATE", "v1", config_id="again")
    for what, program, arguments in PEERS:
        try:
            _try(world, program, arguments)
        except Failed as why:
            yield Missing(section, what, str(why))
        else:
            turns.append((what, partial(world.run, program, *arguments)))
    found = in_turns(turns, repeats)
    for what, figures in found.items():
        row = Row(section, what, figures)
        if what in dict(ours):
            row = row.against(found[_BARE], _BARE, 6).small(40)
        yield row


def _try(world: AptWorld, program: str, arguments: Sequence[str]) -> None:
    """Does it do here what is to be measured? Raises Failed."""
    if not Path(program).exists():
        raise Failed(f"{program} is not installed: tests/run bench does that where it can")
    world.run(program, *arguments)


def changes(base: Path, count: int, repeats: int) -> Iterator[Row]:
    """An update and a restore of so many packages, by the agent and by bare apt-get."""
    world = AptWorld(base, count)
    there, back = world.bare()
    yield from world.changes("", there, [back], repeats, GOALS.get(count, Goals()))


def whole(base: Path, repeats: int) -> Iterator[Row]:
    """From heat-config being called with the metadata to the signal that is accepted, on loopback."""
    world = AptWorld(base, 30)
    world.deliver("CREATE", "v1")
    world.add(NEW)
    world.keep("old")
    hooks = base / "hooks"
    hooks.mkdir()
    shutil.copy2(SCRIPT_HOOK, hooks / "script")
    program = f"PYTHONPATH={world.agent} exec {sys.executable} {HOOK}"
    (hooks / "package-update").write_text(f"#!/bin/sh\n{program}\n", encoding="utf-8")
    for hook in hooks.iterdir():
        hook.chmod(0o755)

    def deliver(receiver: Receiver, group: str) -> Figures:
        world.put_back("old")
        signal = {
            **{"deploy_signal_transport": "CFN_SIGNAL", "deploy_signal_verb": "POST"},
            "deploy_signal_id": receiver.url("/signal?Signature=x"),
        }
        deployment = {**world.deployment("UPDATE", "v2", "", signal), "group": group}
        if group == "script":
            deployment["config"] = f"{SCRIPT}apt-get -q -y update\napt-get -q -y dist-upgrade\n"
        (base / "heat-config.json").write_text(json.dumps([deployment]), encoding="utf-8")
        seen = len(receiver.received)
        figures = world.run(*_heat_config(), **_heat_environment(base, world, hooks))
        assert len(receiver.received) > seen and world.has(NEW)
        return figures

    with Receiver() as receiver:
        ours, theirs = "package-update", "heat-agents' script hook: apt-get update, dist-upgrade"
        found = in_turns(
            [(ours, lambda: deliver(receiver, "package-update")), (theirs, lambda: deliver(receiver, "script"))],
            repeats,
        )
    yield Row("the whole delivery, 30 packages", theirs, found[theirs])
    yield Row("the whole delivery, 30 packages", ours, found[ours]).against(found[theirs], theirs, 1.30)


def _heat_config() -> List[str]:
    return [
        str(directory() / "bin/python3"),
        str(scripts(directory()) / "os-refresh-config/configure.d/55-heat-config"),
    ]


def _heat_environment(base: Path, world: AptWorld, hooks: Path) -> Dict[str, str]:
    for name in ("deployed", "working", "outputs"):
        (base / name).mkdir(exist_ok=True)
    notify = base / "notify"
    if not notify.exists():
        notify.write_text(
            f'#!/bin/sh\nexec {directory()}/bin/python3 {scripts(directory())}/bin/heat-config-notify "$@"\n',
            encoding="utf-8",
        )
        notify.chmod(0o755)
    return {
        "HEAT_CONFIG_HOOKS": str(hooks),
        "HEAT_CONFIG_DEPLOYED": str(base / "deployed"),
        "HEAT_CONFIG_DEPLOYED_OLD": str(base / "none"),
        "HEAT_SHELL_CONFIG": str(base / "heat-config.json"),
        "HEAT_CONFIG_NOTIFY": str(notify),
        "HEAT_SCRIPT_WORKING": str(base / "working"),
        "HEAT_SCRIPT_OUTPUTS": str(base / "outputs"),
        "OS_UPDATE_AGENT_CONFIG": world.environment["OS_UPDATE_AGENT_CONFIG"],
    }


def _script_config(line: str) -> str:
    named = {"id": "script", "name": "bench", "group": "script", "config": f"{SCRIPT}{line}\n"}
    return json.dumps({**named, "inputs": [], "outputs": [], "options": {}})


def _heat_script(base: Path) -> List[str]:
    (base / "working").mkdir(exist_ok=True)
    (base / "outputs").mkdir(exist_ok=True)
    own = [f"HEAT_SCRIPT_WORKING={base}/working", f"HEAT_SCRIPT_OUTPUTS={base}/outputs"]
    return ["env", *own, str(directory() / "bin/python3"), str(SCRIPT_HOOK)]
