"""Deliveries through the hook's process beside what people would use in its place, for the same work on the same private root."""

import json
import shutil
import sys
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Tuple

from bench.measuring import Figures, median
from bench.rows import Row
from bench.world import AGENT, HOOK, NEW, OLD, TESTS, World
from chain.install import directory, scripts
from os_update_agent.demo.receiver import Receiver

PEERS = TESTS.parent / ".test-venv/peers/bin"
SCRIPT_HOOK = scripts(directory()).parent / "heat-config-script/install.d/hook-script.py"
SCRIPT = "#!/bin/sh\nset -e\n"
Turn = Tuple[str, Callable[[], Figures]]


def in_turns(turns: List[Turn], repeats: int) -> Dict[str, Figures]:
    """Medians; each is done once before the next round begins, so that the machine's moods meet all."""
    taken: Dict[str, List[Figures]] = {}
    for _ in range(repeats):
        for what, action in turns:
            taken.setdefault(what, []).append(action())
    return {what: median(figures) for what, figures in taken.items()}


def idle(base: Path, repeats: int) -> Iterator[Row]:
    """Deliveries that find nothing to do."""
    world = World(base, 30)
    world.keep("fresh")

    def first() -> Figures:
        world.put_back("fresh")
        return world.deliver("CREATE", "v1")

    world.put_back("fresh")
    world.deliver("CREATE", "v1", config_id="again")
    world.keep("known")

    def known(**options: str) -> Figures:
        return world.deliver("UPDATE", "v1", **options)

    def script() -> Figures:
        return world.run(*_heat_script(base), text=_script_config("apt-get -s -q dist-upgrade"))

    python, unattended, ansible = "python -c pass", "unattended-upgrade --dry-run", "ansible localhost -m apt -a upgrade=dist --check"
    ours = ["the first delivery (baseline)", "the current value again", "the same delivery again"]
    turns: List[Turn] = [
        (python, lambda: world.run(sys.executable, "-c", "pass")),
        (ours[0], first),
        (ours[1], known),
        (ours[2], lambda: known(config_id="again")),
        ("heat-agents' script hook: apt-get -s dist-upgrade", script),
    ]
    first()
    world.deliver("CREATE", "v1", config_id="again")
    if shutil.which("unattended-upgrade"):
        turns.append((unattended, lambda: world.run("/usr/bin/unattended-upgrade", "--dry-run")))
    if (PEERS / "ansible").exists():
        options = ["-c", "local", "-m", "apt", "-a", "upgrade=dist", "--check", "-e", "ansible_python_interpreter=/usr/bin/python3"]
        turns.append((ansible, lambda: world.run(str(PEERS / "ansible"), "localhost", *options)))
    found = in_turns(turns, repeats)
    for what, figures in found.items():
        row = Row("nothing to do", what, figures)
        if what in ours:
            row = row.within(0.150, "at most 150 ms")
            if unattended in found:
                row = row.against(found[unattended], unattended, 0.25)
            row = row.small(40)
        yield row


def changes(base: Path, count: int, repeats: int) -> Iterator[Row]:
    """An update and a restore of so many packages, by the agent and by bare apt-get."""
    world = World(base, count)
    world.deliver("CREATE", "v1")
    world.add(NEW)
    world.keep("old")
    world.deliver("UPDATE", "v2")
    assert world.has(NEW)
    world.keep("new")

    def take(start: str, reached: str, action: Callable[[], Figures]) -> Callable[[], Figures]:
        def turn() -> Figures:
            world.put_back(start)
            figures = action()
            assert world.has(reached)
            return figures

        return turn

    update = "apt-get -q -y -o APT::Update::Error-Mode=any update && exec apt-get -q -y --no-install-recommends dist-upgrade"
    restore = "exec apt-get -q -y --allow-downgrades --no-install-recommends install " + " ".join(f"{name}={OLD}" for name in world.names)
    packages = "1 package" if count == 1 else f"{count} packages"
    found = in_turns(
        [
            ("update", take("old", NEW, lambda: world.deliver("UPDATE", "v2"))),
            ("bare apt-get update, dist-upgrade", take("old", NEW, lambda: world.run("sh", "-c", update))),
            ("restore", take("new", OLD, lambda: world.deliver("UPDATE", "v1"))),
            ("bare apt-get install NAME=VERSION...", take("new", OLD, lambda: world.run("sh", "-c", restore))),
        ],
        repeats,
    )
    names = list(found)
    for ours, bare in (names[:2], names[2:]):
        yield Row(packages, bare, found[bare])
        yield Row(packages, ours, found[ours]).against(found[bare], bare, 1.10, 0.3)


def whole(base: Path, repeats: int) -> Iterator[Row]:
    """From heat-config being called with the metadata to the signal that is accepted, on loopback."""
    world = World(base, 30)
    world.deliver("CREATE", "v1")
    world.add(NEW)
    world.keep("old")
    hooks = base / "hooks"
    hooks.mkdir()
    shutil.copy2(SCRIPT_HOOK, hooks / "script")
    program = f"PYTHONPATH={AGENT} exec {sys.executable} {HOOK}"
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
        found = in_turns([(ours, lambda: deliver(receiver, "package-update")), (theirs, lambda: deliver(receiver, "script"))], repeats)
    yield Row("the whole delivery, 30 packages", theirs, found[theirs])
    yield Row("the whole delivery, 30 packages", ours, found[ours]).against(found[theirs], theirs, 1.10, 0.3)


def _heat_config() -> List[str]:
    return [str(directory() / "bin/python3"), str(scripts(directory()) / "os-refresh-config/configure.d/55-heat-config")]


def _heat_environment(base: Path, world: World, hooks: Path) -> Dict[str, str]:
    for name in ("deployed", "working", "outputs"):
        (base / name).mkdir(exist_ok=True)
    notify = base / "notify"
    if not notify.exists():
        notify.write_text(
            f'#!/bin/sh\nexec {directory()}/bin/python3 {scripts(directory())}/bin/heat-config-notify "$@"\n', encoding="utf-8"
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
        **{name: world.environment[name] for name in ("PYTHONPYCACHEPREFIX", "OS_UPDATE_AGENT_CONFIG")},
    }


def _script_config(line: str) -> str:
    named = {"id": "script", "name": "bench", "group": "script", "config": f"{SCRIPT}{line}\n"}
    return json.dumps({**named, "inputs": [], "outputs": [], "options": {}})


def _heat_script(base: Path) -> List[str]:
    (base / "working").mkdir(exist_ok=True)
    (base / "outputs").mkdir(exist_ok=True)
    own = [f"HEAT_SCRIPT_WORKING={base}/working", f"HEAT_SCRIPT_OUTPUTS={base}/outputs"]
    return ["env", *own, str(directory() / "bin/python3"), str(SCRIPT_HOOK)]
