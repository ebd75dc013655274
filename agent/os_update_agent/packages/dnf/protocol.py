"""The requests of the agent to dnf's worker, and the worker's answers. Pure.

Both sides use this module, so it runs under Python 3.6 as well. packages/worker/ sends and receives both as lines of
JSON.
"""

from typing import Any, NamedTuple, Sequence, Tuple, Type, Union

from os_update_agent.packages.worker.replies import Locked as Locked
from os_update_agent.packages.worker.replies import Refused as Refused
from os_update_agent.packages.worker.replies import Reply as Reply
from os_update_agent.packages.worker.replies import action_of as action_of

# (name, architecture, [epoch:]version-release); an epoch of 0 is not spelled.
Identity = Tuple[str, str, str]

# The comment of the transaction that closes the record of an interrupted one.
COMPLETED = "os-update-agent: the end of an interrupted transaction"
# The comment of a helper transaction. It changes one reason; the next transaction restores it. The names of what to
# restore follow this text. See worker/dnf5/interrupted.py.
HALFWAY = "os-update-agent: set back in a moment: "


class Todo(NamedTuple):
    """One transaction from local files.

    ``install`` holds each package with dnf's word for its reason, ``files`` the paths of their package files in the
    same order. ``native`` is the node's architecture. ``forced`` allows what only a way back needs: removing a
    protected package or the running kernel.
    """

    install: Tuple[Tuple[Identity, str], ...]
    files: Tuple[str, ...]
    remove: Tuple[Identity, ...]
    native: str
    forced: bool


# --- requests. ``root`` is the directory that dnf works on; ``comment`` is kept in dnf's history.


class Refresh(NamedTuple):
    """Fetch the metadata of every enabled repository again; each one has to answer.

    Answer: Identities of the packages that suggest a boot by an advisory or always. dnf 4 does not know any.
    """

    root: str


class Reasons(NamedTuple):
    """Report why each package is installed. Answer: a map of "name.arch" to dnf's word."""

    root: str


class Candidates(NamedTuple):
    """Plan an update. Answer: Planned.

    ``packages`` and ``exclude`` are globs (see packages/globs.py); no ``packages`` means all. ``removals``: may the
    plan remove packages?
    """

    root: str
    native: str
    packages: Tuple[str, ...]
    exclude: Tuple[str, ...]
    security: bool
    removals: bool


class Available(NamedTuple):
    """Look packages up in the repositories, from the metadata of the last refresh. Answer: for each of ``wanted`` an
    Offered, or None if no repository has it.
    """

    root: str
    wanted: Tuple[Identity, ...]


class Fetch(NamedTuple):
    """Download packages, each checked by its checksum and, with gpgcheck, by its signature. Answer: None.

    ``digests`` (model/builds.py; "" skips the comparison) and ``files`` (paths to download to) are in the order of
    ``wanted``. ``staging`` is a directory on the same file system as ``files``. The file ``progress`` gets a line for
    each package.
    """

    root: str
    wanted: Tuple[Identity, ...]
    digests: Tuple[str, ...]
    files: Tuple[str, ...]
    staging: str
    progress: str


class Effect(NamedTuple):
    """Rehearse a transaction. Answer: Outcome."""

    root: str
    todo: Todo


class Side(NamedTuple):
    """One of two transactions: the packages that come and go, and the package files at hand, in any order."""

    comes: Tuple[Identity, ...]
    goes: Tuple[Identity, ...]
    files: Tuple[str, ...]


class CheckUndo(NamedTuple):
    """Rehearse a way back as if the way there had been taken. Answer: UndoChecked.

    ``work`` is a directory for a copy of rpm's database.
    """

    root: str
    work: str
    forward: Side
    back: Side


class Transact(NamedTuple):
    """Run a transaction. Answer: Done. Directly after an Effect of the same root and todo nothing is resolved again."""

    root: str
    comment: str
    todo: Todo


class Enable(NamedTuple):
    """Enable streams of modules, each given as its module and stream. Answer: None. For dnf 4: dnf 5 enables none."""

    root: str
    streams: Tuple[Tuple[str, str], ...]


class Mark(NamedTuple):
    """Set dnf's reason of installed packages. Answer: None."""

    root: str
    comment: str
    packages: Tuple[Identity, ...]
    reason: str


class Complete(NamedTuple):
    """Complete an interrupted transaction. Answer: a list of the problems that remain.

    ``archive`` is a directory with package files; those in dnf's cache are used as well. ``forced``: if an old
    version's scriptlets fail, erase it without them.
    """

    root: str
    native: str
    archive: str
    forced: bool


class Erase(NamedTuple):
    """Erase what a way back was to remove and a scriptlet has kept, without scriptlets. Answer: a list of what was
    done, and of the problems that remain.

    ``comes`` and ``goes`` are what the transaction was to install and to remove. A package whose successor is missing
    stays.
    """

    root: str
    native: str
    comes: Tuple[Identity, ...]
    goes: Tuple[Identity, ...]


Request = Union[
    Union[Refresh, Reasons, Candidates, Available, Fetch, CheckUndo],
    Union[Effect, Transact, Mark, Complete, Erase, Enable],
]
KINDS: Sequence[Type[Any]] = (
    *(Refresh, Reasons, Candidates, Available, Fetch, CheckUndo),
    *(Effect, Transact, Mark, Complete, Erase, Enable),
)


# --- answers


class Coming(NamedTuple):
    """A package that a plan installs.

    ``reason`` is dnf's word, ``repository`` a name. ``is_security``: whether an advisory names this version, or an
    older one above the installed version.
    """

    identity: Identity
    reason: str
    repository: str
    is_security: bool


class Planned(NamedTuple):
    """An update as dnf plans it. ``held`` has a name and a reason for each package that is newer and not planned.
    ``streams`` has each package whose stream dnf enables with it, with the module and the stream.
    """

    comes: Sequence[Coming]
    goes: Sequence[Identity]
    held: Sequence[Tuple[str, str]]
    streams: Sequence[Tuple[Identity, str, str]] = ()


class Offered(NamedTuple):
    """A package of a repository: the bytes of its file, the bytes that it takes once installed, and the sha256 of the
    file ("" if the repository has another checksum).
    """

    size: int
    installed: int
    sha256: str


class Outcome(NamedTuple):
    """What a transaction would install and remove."""

    comes: Sequence[Identity]
    goes: Sequence[Identity]


class UndoChecked(NamedTuple):
    """Sentences: what would stop the way back, and what could not be checked."""

    refused: Sequence[str]
    unchecked: Sequence[str]


class Done(NamedTuple):
    """A transaction was run. ``complaints`` is what went wrong, and ``said`` the lines that scriptlets have printed. A
    failing scriptlet need not fail a transaction.
    """

    complaints: Sequence[str]
    said: Sequence[str]
