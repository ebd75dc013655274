"""The house as it is drawn: who may import what. Imports inside functions count too."""

import ast
import importlib.util
import re
from fnmatch import fnmatch
from functools import cache, lru_cache
from pathlib import Path
from typing import Dict, FrozenSet, Iterator, Set, Tuple

import pytest

PACKAGE = "os_update_agent"
ROOT = Path(__file__).parents[2] / "agent" / PACKAGE

# Doors on sequences on rooms on the brain on values. A module imports from its own floor and from those below.
VALUES, BRAIN, ROOMS, SEQUENCES, DOORS = range(5)
FLOORS = {
    "__init__": VALUES,
    "errors": VALUES,
    "model": VALUES,
    "activation": BRAIN,
    "decision": BRAIN,
    "ledger": BRAIN,
    "options": BRAIN,
    "order": BRAIN,
    "policy": BRAIN,
    "report": BRAIN,
    "settings": BRAIN,
    "wording": BRAIN,
    "heat": ROOMS,
    "node": ROOMS,
    "packages": ROOMS,
    "conclusion": SEQUENCES,
    "deliver": SEQUENCES,
    "foresight": SEQUENCES,
    "install": SEQUENCES,
    "metrics": SEQUENCES,
    "notify": SEQUENCES,
    "outbox": SEQUENCES,
    "phases": SEQUENCES,
    "planning": SEQUENCES,
    "resume": SEQUENCES,
    "retention": SEQUENCES,
    "site": SEQUENCES,
    "update": SEQUENCES,
    "waiting": SEQUENCES,
    "__main__": DOORS,
    "cli": DOORS,
    "commands": DOORS,
    "completion": DOORS,
    "demo": DOORS,
    "hook": DOORS,
    "manual": DOORS,
    "views": DOORS,
    "worker": DOORS,
}

# What only these may import, each a kind of effect that has one home.
HOMES = {
    "subprocess": {"node.run"},
    # The ledger, and the record that dnf keeps in SQLite.
    "sqlite3": {"ledger.database", "ledger.deliveries", "packages.dnf_record"},
    "fcntl": {"node.lock"},
    "requests": {"heat.signal"},
    "keystoneauth1": {"heat.signal"},
    "zaqarclient": {"heat.signal"},
}
# Too slow to be imported before there is something to send.
LATE = ("requests", "keystoneauth1", "zaqarclient")

# What only a run needs, or a mistake: most deliveries find nothing to do, and are to be answered in no time.
NOT_AT_FIRST = (
    *(
        "update",
        "packages.apt",
        "packages.dnf",
        "packages.dnf5",
        "packages.archive",
        "packages.backend",
        "node.run",
        "node.detach",
        "node.reboot",
    ),
    *("subprocess", "tempfile", "hashlib", "uuid", "difflib", "random", "distro", "yaml", "argparse"),
)

ROOM_RULES = {"heat": {"heat", "node"}, "packages": {"packages", "node"}, "node": {"node"}}

PURE = (
    *("model", "model.deliveries", "model.packages", "model.runs", "errors"),
    *("activation", "decision", "options", "order", "policy", "report", "wording"),
    *("packages.complaints", "packages.state", "packages.selection", "packages.foreseen", "packages.apt_parse"),
    *("heat.deployment", "heat.outcome"),
    "install.layout",
)
EFFECTS = {
    "asyncio", "ctypes", "fcntl", "glob", "http", "io", "multiprocessing", "os", "pathlib", "random", "secrets", "select", "shutil",
    "signal", "socket", "sqlite3", "subprocess", "sys", "tempfile", "threading", "time", "urllib.request",
}  # fmt: skip


@lru_cache(maxsize=1)
def modules() -> Dict[str, ast.Module]:
    """Every module by its name inside the package; a package inside it by its own name."""
    paths = sorted(ROOT.rglob("*.py"))
    assert paths
    return {_name(path.relative_to(ROOT).with_suffix("").parts): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def _name(parts: Tuple[str, ...]) -> str:
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def imports(tree: ast.AST, *, late: bool = True) -> Iterator[str]:
    """The dotted names that are imported, those for type checkers left out; ``late`` says whether those in functions count."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if not late and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, "imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from imports(node, late=late)


@cache
def ours(module: str) -> FrozenSet[str]:
    """The modules of the package that a module imports."""
    found: Set[str] = set()
    for name in imports(modules()[module]):
        if name.partition(".")[0] != PACKAGE:
            continue
        parts = name.split(".")[1:]
        while parts and ".".join(parts) not in modules():
            parts.pop()
        found.add(".".join(parts) or "__init__")
    # `from os_update_agent.node import run` names a module of a package; the package itself holds nothing.
    return frozenset(name for name in found if name != module)


def theirs(module: str, *, late: bool = True) -> FrozenSet[str]:
    return frozenset(name for name in imports(modules()[module], late=late) if name.partition(".")[0] != PACKAGE)


def room(module: str) -> str:
    return module.partition(".")[0]


def rows() -> Iterator[Tuple[str, str]]:
    for module in modules():
        for other in sorted(ours(module)):
            yield module, other


def test_every_module_has_its_floor() -> None:
    unknown = sorted({room(module) for module in modules()} - set(FLOORS))
    assert not unknown, f"give {', '.join(unknown)} a floor in FLOORS: which floor of the house is it on?"
    gone = sorted(set(FLOORS) - {room(module) for module in modules()})
    assert not gone, f"take {', '.join(gone)} out of FLOORS: there is no such module any more"


def test_nothing_imports_upwards() -> None:
    wrong = [f"{module} imports {other}" for module, other in rows() if FLOORS[room(other)] > FLOORS[room(module)]]
    assert wrong == []


def test_no_imports_run_in_a_circle() -> None:
    done: Set[str] = set()

    def visit(module: str, way: Tuple[str, ...]) -> None:
        assert module not in way, f"a circle: {' -> '.join((*way[way.index(module) :], module))}"
        if module not in done:
            for other in sorted(ours(module)):
                visit(other, (*way, module))
            done.add(module)

    for module in modules():
        visit(module, ())


def test_heat_knows_no_packages_and_packages_no_heat_and_the_node_neither() -> None:
    wrong = [
        f"{module} imports {other}"
        for module, other in rows()
        if room(module) in ROOM_RULES and FLOORS[room(other)] == ROOMS and room(other) not in ROOM_RULES[room(module)]
    ]
    assert wrong == []


@pytest.mark.parametrize("module", ["model", "model.deliveries", "model.packages", "model.runs", "errors"])
def test_values_import_nothing_of_ours_but_values(module: str) -> None:
    assert all(room(other) == "model" for other in ours(module))


@pytest.mark.parametrize("library", sorted(HOMES))
def test_an_effect_has_one_home(library: str) -> None:
    users = {module for module in modules() if any(name.split(".")[0] == library for name in theirs(module))}
    assert users <= HOMES[library]
    assert users, f"nobody imports {library}: is the rule still right?"


def test_what_is_slow_is_imported_when_it_is_needed() -> None:
    early = [f"{module} imports {name}" for module in modules() for name in theirs(module, late=False) if name.split(".")[0] in LATE]
    assert early == []


def test_a_delivery_with_nothing_to_do_waits_for_no_import_that_it_does_not_need() -> None:
    found = imported_by("hook")
    assert "resume" in found and "model.runs" in found
    assert not found & set(NOT_AT_FIRST)
    libraries = {name.partition(".")[0] for module in found for name in imports(modules()[module], late=False)}
    assert not libraries & set(NOT_AT_FIRST)


def test_a_worker_imports_only_what_starting_dnf_needs_before_it_has_started_it() -> None:
    assert imported_by("worker") == {
        *("worker", "__init__", "errors", "settings", "node.directories", "node.journal", "node.lock", "node.run"),
        *("packages.dnf_child", "packages.manager"),
    }


def imported_by(first: str) -> Set[str]:
    """The modules that are there when one of them has been imported."""
    found: Set[str] = set()
    todo = {first}
    while todo:
        module = todo.pop()
        found.add(module)
        for name in imports(modules()[module], late=False):
            parts = name.split(".")[1:] if name.partition(".")[0] == PACKAGE else []
            while parts and ".".join(parts) not in modules() and ".".join((*parts, "__init__")) not in modules():
                parts.pop()
            for known in (".".join(parts), ".".join((*parts, "__init__"))):
                todo |= {known} & set(modules()) - found
    return found


@pytest.mark.parametrize("module", PURE)
def test_what_decides_has_no_effects(module: str) -> None:
    names = theirs(module)
    assert not {name for name in names if name.split(".")[0] in EFFECTS or name.startswith("urllib.request")}
    # A pure module may use only what is as pure.
    below = {other for other in ours(module) if other not in PURE}
    assert below == set()


@pytest.mark.parametrize("module", PURE)
def test_what_decides_opens_nothing_and_prints_nothing(module: str) -> None:
    calls = {node.func.id for node in ast.walk(modules()[module]) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not calls & {"open", "print", "input", "exec", "eval", "__import__"}


def test_every_line_of_a_log_is_made_of_keys_and_values() -> None:
    """logged() makes one line of key=value of whatever it is given; facts_of() is one of its callers."""
    wrong = []
    for module, tree in modules().items():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            function = call.func
            if not (isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)):
                continue
            if function.value.id == "log" and function.attr in ("debug", "info", "warning", "error", "critical", "exception", "log"):
                (said,) = call.args
                maker = said.func if isinstance(said, ast.Call) else said
                if not (isinstance(maker, ast.Name) and maker.id in ("logged", "facts")):
                    wrong.append(f"{module}, line {call.lineno}")
    assert wrong == []


def test_the_readme_names_every_module() -> None:
    """Those of some folders only under the name of the folder: in each of them the modules are of one kind."""
    text = (Path(__file__).parents[2] / "README.rst").read_text(encoding="utf-8")
    table = text.partition("\nHow it is built\n")[2].partition("\n====")[2].partition("\nOn disk: ")[0]
    named = {name.rstrip("/") for name in re.findall(r"``([\w/*]+)``", table)}
    rooms = {*ROOM_RULES, "install"}
    wanted = {module.partition(".")[2] if room(module) in rooms else room(module) for module in modules()} - {"", "__init__", "__main__"}
    assert {"activation", "mapped", "commands"} <= wanted
    assert [module for module in sorted(wanted) if not any(fnmatch(module, name) for name in named)] == []
    assert [name for name in sorted(named - rooms) if not any(fnmatch(module, name) for module in wanted)] == []


def test_a_name_in_the_house_is_a_module_that_can_be_found() -> None:
    assert all(importlib.util.find_spec(f"{PACKAGE}.{name}") for name in FLOORS if name != "__init__")
