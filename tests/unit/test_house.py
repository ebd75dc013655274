"""The house as it is drawn: who may import what. Imports inside functions count too."""

import ast
from functools import cache, lru_cache
from pathlib import Path
from typing import Dict, FrozenSet, Iterator, Set, Tuple

import pytest

from os_update_agent.runtime import imports as loading

PACKAGE = "os_update_agent"
ROOT = Path(__file__).parents[2] / "agent" / PACKAGE

# The folders of the package from the roof to the ground: a module imports from its own folder and from those below it.
# Folders of one line stand side by side and do not know each other.
FLOORS: Tuple[Tuple[str, ...], ...] = (
    ("__main__", "hook", "worker", "launch"),
    ("cli",),
    ("selftest",),
    ("testing",),
    ("delivery",),
    ("runs",),
    ("runtime",),
    ("heat", "packages", "install"),
    ("node",),
    ("config",),
    ("ledger",),
    ("text",),
    ("decision",),
    ("model",),
    ("__init__",),
)
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}

# The same inside packages/: rpm knows no dnf, and no package manager knows another one.
PACKAGES_FLOORS: Tuple[Tuple[str, ...], ...] = (("apt", "dnf"), ("rpm",), ("worker",))

# What only these may import, each a kind of effect that has one home.
HOMES = {
    "subprocess": {"node.process"},
    # The ledger, and the record that dnf keeps in SQLite.
    "sqlite3": {"ledger.database", "ledger.deliveries", "packages.dnf.history4"},
    # Locks; and a copy of the rpm database that shares its blocks where the file system can do that.
    "fcntl": {"node.locks", "packages.dnf.worker.undo"},
    # The agent and the worker of a package manager speak over a socket.
    "socket": {f"packages.worker.{name}" for name in ("child", "wire", "server", "caller")},
    "requests": {"heat.signal", "heat.bounded_http"},
    "keystoneauth1": {"heat.signal"},
}
# Too slow to be imported before there is something to send.
LATE = ("requests", "keystoneauth1")

# What only a run needs, or a mistake: most deliveries find nothing to do, and are to be answered in no time.
NOT_AT_FIRST = (
    *("runs.engine", "packages.apt.backend", "packages.dnf.dnf4", "packages.dnf.dnf5", "packages.archive"),
    *("packages.backend", "packages.implementations", "node.process", "node.transient_unit", "node.reboot"),
    *("subprocess", "tempfile", "hashlib", "uuid", "difflib", "random", "distro", "yaml", "argparse"),
)

PURE = (
    *(
        "model",
        "model.bounded_json",
        "model.builds",
        "model.deliveries",
        "model.documents",
        "model.errors",
        "model.etc_files",
        "model.field_types",
        "model.node_facts",
    ),
    *("model.options", "model.package_files", "model.packages", "model.phases", "model.plans", "model.policy"),
    *("model.runs", "model.settings"),
    *(
        "decision.restarts",
        "decision.state_names",
        "decision.table",
        "decision.timestamps",
        "text.log_lines",
        "text.outcomes",
        "text.outputs",
        "text.phrases",
        "text.printable",
    ),
    *("config.options", "config.policy", "node.service_environment"),
    *("packages.complaints", "packages.file_faults", "packages.kept_files", "packages.state", "packages.selection"),
    *("packages.reboot_forecast", "packages.interruption", "packages.settings", "packages.undo_check"),
    *("packages.apt.made_up", "packages.apt.order", "packages.apt.parse", "packages.apt.candidates"),
    *("packages.apt.answers", "packages.apt.protocol", "packages.apt.security"),
    *("packages.dnf.answers", "packages.dnf.protocol", "packages.globs", "packages.lines"),
    *("packages.rpm.parse", "packages.worker.lines", "packages.worker.replies"),
    *("packages.dnf.worker.completion", "packages.dnf.worker.file_types", "packages.dnf.worker.identity"),
    "packages.dnf.worker.scriptlets",
    *(
        "heat.deployment",
        "heat.fields",
        "heat.outcome",
        "heat.signal_target",
        "heat.signal_answers",
        "heat.stored_objects",
        "heat.yaml_options",
    ),
    *("install.layout", "__init__", "cli.parser"),
    *("cli.views.base", "cli.views.history", "cli.views.signals", "cli.views.states", "cli.views.status"),
    *("cli.views.selftest", "selftest.findings", "selftest.verdicts", "selftest.package_verdicts"),
    *("runs.ages", "runs.other_keys", "runs.transitions"),
)
EFFECTS = {
    "asyncio", "ctypes", "fcntl", "glob", "http", "io", "multiprocessing", "os", "pathlib", "random", "secrets",
    "select", "shutil", "signal", "socket", "sqlite3", "subprocess", "sys", "tempfile", "threading", "time",
    "urllib.request",
}  # fmt: skip


@lru_cache(maxsize=1)
def modules() -> Dict[str, ast.Module]:
    """Every module by its name inside the package; a package inside it by its own name."""
    paths = sorted(ROOT.rglob("*.py"))
    assert paths
    return {
        _name(path.relative_to(ROOT).with_suffix("").parts): ast.parse(path.read_text(encoding="utf-8"))
        for path in paths
    }


def _name(parts: Tuple[str, ...]) -> str:
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def imports(tree: ast.AST, *, late: bool = True) -> Iterator[str]:
    """The dotted names that are imported, those for type checkers left out; ``late`` says whether those in functions
    count.
    """
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
    # `from os_update_agent.node import process` names a module of a package; the package itself holds nothing.
    return frozenset(name for name in found if name != module)


def theirs(module: str, *, late: bool = True) -> FrozenSet[str]:
    return frozenset(name for name in imports(modules()[module], late=late) if name.partition(".")[0] != PACKAGE)


def room(module: str) -> str:
    return module.partition(".")[0]


def rows() -> Iterator[Tuple[str, str]]:
    for module in modules():
        for other in sorted(ours(module)):
            yield module, other


def test_every_folder_has_its_floor() -> None:
    rooms = {room(module) for module in modules()}
    unknown, gone = sorted(rooms - set(FLOOR_OF)), sorted(set(FLOOR_OF) - rooms)
    assert not unknown, f"give {', '.join(unknown)} a floor in FLOORS"
    assert not gone, f"take {', '.join(gone)} out of FLOORS: there is no such folder any more"


def test_nothing_imports_upwards() -> None:
    wrong = [f"{module} imports {other}" for module, other in rows() if FLOOR_OF[room(other)] < FLOOR_OF[room(module)]]
    assert wrong == []


def test_folders_side_by_side_do_not_know_each_other() -> None:
    wrong = [
        f"{module} imports {other}"
        for module, other in rows()
        if room(other) != room(module) and FLOOR_OF[room(other)] == FLOOR_OF[room(module)]
    ]
    assert wrong == []


def test_rpm_knows_no_dnf_and_no_package_manager_knows_another() -> None:
    floors = {name: floor for floor, names in enumerate(PACKAGES_FLOORS) for name in names}

    def part(module: str) -> str:
        parts = module.split(".")
        return parts[1] if parts[0] == "packages" and len(parts) > 1 else ""

    pairs = [(module, other) for module, other in rows() if {part(module), part(other)} <= set(floors)]
    assert pairs
    assert [f"{a} imports {b}" for a, b in pairs if part(a) != part(b) and floors[part(b)] <= floors[part(a)]] == []


def test_only_implementations_knows_the_package_managers() -> None:
    """Everything else in packages/ works with any Backend."""
    managers = {name for names in PACKAGES_FLOORS for name in names}
    beside = [(module, other) for module, other in rows() if module.rpartition(".")[0] == "packages"]
    users = {module for module, other in beside if room(other) == "packages" and other.split(".")[1] in managers}
    assert users == {"packages.implementations"}


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


@pytest.mark.parametrize("library", sorted(HOMES))
def test_an_effect_has_one_home(library: str) -> None:
    users = {module for module in modules() if any(name.split(".")[0] == library for name in theirs(module))}
    assert users <= HOMES[library]
    assert users, f"nobody imports {library}: is the rule still right?"


def test_a_named_tuple_caches_no_property() -> None:
    """cached_property needs a __dict__, which a tuple has not: the first access would raise TypeError."""
    wrong = [
        f"{module}.{node.name}"
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "NamedTuple" for base in node.bases)
        if "cached_property" in ast.unparse(node)
    ]
    assert wrong == []


def test_what_is_slow_is_imported_when_it_is_needed() -> None:
    early = [
        f"{module} imports {name}"
        for module in modules()
        for name in theirs(module, late=False)
        if name.split(".")[0] in LATE
    ]
    assert early == []


def test_a_delivery_with_nothing_to_do_waits_for_no_import_that_it_does_not_need() -> None:
    found = imported_by("hook") | imported_by("delivery.supervise")
    assert "delivery.execute" in found and "model.runs" in found
    assert not found & set(NOT_AT_FIRST)
    libraries = {name.partition(".")[0] for module in found for name in imports(modules()[module], late=False)}
    assert not libraries & set(NOT_AT_FIRST)


def test_a_delivery_that_has_its_result_waits_for_nothing_that_works() -> None:
    assert not imported_by("hook") & {"delivery.supervise", "delivery.execute", "decision.table"}


def test_a_worker_imports_only_what_starting_dnf_needs_before_it_has_started_it() -> None:
    assert imported_by("worker") == {
        *(
            "worker",
            "__init__",
            "model.errors",
            "model.options",
            "model.bounded_json",
            "config.bounded_files",
            "config.settings",
            "node.permissions",
            "node.journal",
            "node.locks",
            "node.child_environment",
            "node.inheritance",
            "node.trusted_paths",
            "text.printable",
        ),
        *(
            "node.process",
            "packages.dnf.client",
            "packages.worker.child",
            "packages.detect",
            "packages.rpm.place",
            "text.log_lines",
        ),
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


def test_whatever_a_run_imports_late_is_loaded_before_python_is_replaced() -> None:
    """Law 13. What the run's own backend imports when it is made is there by then."""
    listed = {*loading._SMALL, *loading._LARGE}
    ours_of_it = {name.partition(".")[2] for name in listed if name.startswith(f"{PACKAGE}.")}
    before = {"runs.engine", "delivery.execute", "packages.apt.backend", "packages.dnf.dnf4", "packages.dnf.dnf5"}
    there = {other for module in ours_of_it | before for other in imported_by(module)}
    libraries = {name.partition(".")[0] for module in there for name in imports(modules()[module], late=False)}
    libraries |= {name.partition(".")[0] for name in listed}
    above = ("cli", "selftest", "testing", "install", "hook", "worker", "__main__", "launch")
    after = [
        module
        for module in modules()
        if room(module) not in above and not module.startswith(("packages.dnf.worker", "packages.apt.worker"))
    ]
    late = {
        (module, name)
        for module in after
        for name in set(imports(modules()[module])) - set(imports(modules()[module], late=False))
    }
    assert len(late) > 20
    missing = []
    for module, name in sorted(late):
        parts = name.split(".")
        own = {".".join(parts[1:end]) for end in (len(parts), len(parts) - 1)} & set(modules())
        if not (own & there if parts[0] == PACKAGE else parts[0] in libraries):
            missing.append(f"{module} imports {name} late")
    # The hook waits for the worker: it has imported that before.
    assert [line for line in missing if "delivery.supervise." not in line] == []


@pytest.mark.parametrize("module", PURE)
def test_what_decides_has_no_effects(module: str) -> None:
    names = theirs(module)
    assert not {name for name in names if name.split(".")[0] in EFFECTS or name.startswith("urllib.request")}
    # A pure module may use only what is as pure.
    below = {other for other in ours(module) if other not in PURE}
    assert below == set()


@pytest.mark.parametrize("module", PURE)
def test_what_decides_opens_nothing_and_prints_nothing(module: str) -> None:
    calls = {
        node.func.id
        for node in ast.walk(modules()[module])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"open", "print", "input", "exec", "eval", "__import__"}


def test_every_line_of_a_log_is_made_of_keys_and_values() -> None:
    """logged() makes one line of key=value of whatever it is given; facts_of() is one of its callers."""
    wrong = []
    for module, tree in modules().items():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            function = call.func
            if not (isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)):
                continue
            if function.value.id == "log" and function.attr in (
                "debug",
                "info",
                "warning",
                "error",
                "critical",
                "exception",
                "log",
            ):
                (said,) = call.args
                maker = said.func if isinstance(said, ast.Call) else said
                if not (isinstance(maker, ast.Name) and maker.id in ("logged", "facts")):
                    wrong.append(f"{module}, line {call.lineno}")
    assert wrong == []


def test_no_module_is_longer_than_300_lines() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in ROOT.rglob("*.py")}
    assert {name: length for name, length in lengths.items() if length > 300} == {}
