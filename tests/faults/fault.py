"""The table of faults, and what must be true of every delivery on a node with a fault."""

import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Sequence, Tuple, TypeVar

from os_update_agent.install import target
from os_update_agent.install.layout import PROGRAMS
from os_update_agent.testing.repository import Deb
from packages.node import Node, Result, Template

LAUNCHER = Path(__file__).parents[2] / "agent/os_update_agent/launch.py"
# Seconds. No delivery on a node with a fault may take longer; most of them take one.
BOUND = 60.0
NOBODY = 65534

T = TypeVar("T")

_CONF = "etc/app.conf"
OLD = (
    Deb("app", "1.0-1", fields={"Depends": "libapp"}, files={_CONF: "a=1\n", "usr/bin/app": "1\n"}, conffiles=(_CONF,)),
    Deb("libapp", "1.0-1", files={"usr/lib/libapp": "1\n"}),
    Deb("heldpkg", "1.0-1"),
)
NEW = (
    Deb("app", "2.0-1", fields={"Depends": "libapp"}, files={_CONF: "a=2\n", "usr/bin/app": "2\n"}, conffiles=(_CONF,)),
    Deb("libapp", "2.0-1", files={"usr/lib/libapp": "2\n"}),
)
VERSIONS_OLD = {"app": "1.0-1", "libapp": "1.0-1", "heldpkg": "1.0-1"}
VERSIONS_NEW = {**VERSIONS_OLD, "app": "2.0-1", "libapp": "2.0-1"}


class Lab:
    """Makes the nodes: each has recorded the old packages as its baseline "v1", and its repository has the new ones.

    ``is_quick``: a fault that has many cases tries some of them.
    """

    def __init__(self, directory: Path, *, is_quick: bool = False) -> None:
        self.directory = directory
        self._is_quick = is_quick
        # Another user works in some of the nodes.
        directory.chmod(0o755)
        self._count = 0
        first = directory / "template"
        first.mkdir()
        self._template = Template.made_in(first, "apt", OLD, NEW, ("app", "heldpkg"))
        with self._node(directory / "based", self._template) as node:
            node.succeed("CREATE", "v1")
            node.offer_two()
        self._template = self._template.advanced(directory / "based")

    @cached_property
    def installed(self) -> Path:
        """The programs of the agent as install-hook lays them down: they run under the system's Python alone."""
        root = self.directory / "installed"
        (root / "usr/bin").mkdir(parents=True)
        for name in ("python3", os.readlink("/usr/bin/python3")):
            (root / "usr/bin" / name).touch()
        target.install(target.target(root), lambda _: None)
        return root / PROGRAMS.lstrip("/")

    @contextmanager
    def node(self) -> Iterator[Node]:
        """Make a node, and remove it afterwards."""
        self._count += 1
        directory = self.directory / f"node-{self._count}"
        with self._node(directory, self._template) as node:
            yield node
        shutil.rmtree(directory)

    def some(self, cases: Iterable[T], number: int = 2) -> List[T]:
        """Return all cases, or the first ones of them."""
        return list(cases)[: number if self._is_quick else None]

    @staticmethod
    @contextmanager
    def _node(directory: Path, template: Template) -> Iterator[Node]:
        with Node(directory, template) as node:
            # As heat-config runs it: isolated.
            node.hook = (sys.executable, "-I", str(LAUNCHER), "os_update_agent.hook")
            yield node


@contextmanager
def laboratory(*, is_quick: bool = False) -> Iterator[Lab]:
    """Make a lab in a directory of its own: another user cannot enter those of pytest. Processes may still write."""
    place = Path(tempfile.mkdtemp(prefix="faults-")).resolve()
    try:
        yield Lab(place, is_quick=is_quick)
    finally:
        shutil.rmtree(place, ignore_errors=True)


class Fault(NamedTuple):
    """One fault: ``provoke`` provokes it, and raises AssertionError if it is not survived."""

    name: str
    provoke: Callable[[Lab], None]
    is_cheap: bool

    @property
    def text(self) -> str:
        return (self.provoke.__doc__ or "").strip().splitlines()[0]


FAULTS: Dict[str, Fault] = {}
# They fill the table.
MODULES = ("archives", "clocks", "inheritance", "intrusions", "limits", "places")


def fault(name: str, *, is_cheap: bool = True) -> Callable[[Callable[[Lab], None]], Callable[[Lab], None]]:
    """Put a function into the table of faults."""

    def put(provoke: Callable[[Lab], None]) -> Callable[[Lab], None]:
        assert name not in FAULTS, name
        FAULTS[name] = Fault(name, provoke, is_cheap)
        return provoke

    return put


# --- what must be true


def delivered(node: Node, value: str, *wrapper: str, action: str = "UPDATE", **options: object) -> Result:
    """Deliver a value to a hook that is started by these words, and check all that holds for any answer."""
    node.wrapper = wrapper
    try:
        result = node.start(action, value, **options).wait(BOUND)
    finally:
        node.wrapper = ()
    assert result.returncode == 0, (result.returncode, result.stderr)
    said = result.stdout + result.stderr
    assert "Traceback" not in said and "exception ignored" not in said.lower(), said
    status = result.body["deploy_status_code"]
    assert type(status) is int and status != 70, result.complaint
    return result


def assert_true(node: Node, result: Result) -> None:
    """The packages are those that the result says, whole, and Heat was told once."""
    expected = VERSIONS_OLD if result.status else VERSIONS_NEW
    assert node.versions() == expected, (result.status, node.versions(), result.complaint)
    assert node.hand.faults() == ""
    assert [request.body.decode() for request in result.received] == [result.stdout]


def assert_next_works(node: Node) -> None:
    """Without the fault the next delivery succeeds: the way back after an update, otherwise the update."""
    is_back = node.versions() != VERSIONS_OLD
    result = delivered(node, "v1" if is_back else "v-next")
    assert result.status == 0, result.complaint
    assert node.versions() == (VERSIONS_OLD if is_back else VERSIONS_NEW)
    assert node.hand.faults() == ""
    assert (node.root / _CONF).read_text() == ("a=1\n" if is_back else "a=2\n")


def assert_survived(node: Node, *wrapper: str) -> Result:
    """Update under a wrapper that has the fault: the result is true, whichever it is, and the next update works."""
    result = delivered(node, "v2", *wrapper)
    assert_true(node, result)
    assert_next_works(node)
    return result


def assert_no_matter(node: Node, *wrapper: str) -> None:
    """Update under a wrapper whose fault changes nothing: the update succeeds."""
    result = assert_survived(node, *wrapper)
    assert result.status == 0, result.complaint


def shell(script: str) -> Tuple[str, ...]:
    """Return the words that run a program after a line of shell: the line ends with exec "$@"."""
    return ("sh", "-c", f'{script} exec "$@"', "sh")


def mounted(script: str) -> Tuple[str, ...]:
    """The same in a mount namespace of its own."""
    return ("unshare", "--mount", *shell(f"set -e; {script};"))


def table(names: Sequence[str] = ()) -> List[Fault]:
    """Return the named faults, all without a name. Raises SystemExit for an unknown name."""
    for module in MODULES:
        import_module(f"faults.{module}")
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        sys.exit(f"no fault is called {', '.join(unknown)}; there are: {', '.join(FAULTS)}")
    return [FAULTS[name] for name in names or FAULTS]
