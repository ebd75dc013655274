"""What the agent asks dnf's worker for, what the worker answers, and both as lines of JSON. Pure.

Both sides use this module, so it runs under Python 3.6 as well and imports nothing of the agent. A request is a line
{"action": ..., and the request's fields}; an answer is a line with the fields of Reply. wire.py sends and receives
them.
"""

import json
from typing import Any, Mapping, NamedTuple, Sequence, Tuple, Type, Union

# (name, architecture, [epoch:]version-release); an epoch of 0 is not spelled.
Identity = Tuple[str, str, str]

# The comment of the transaction that closes the record of an interrupted one.
COMPLETED = "os-update-agent: the end of an interrupted transaction"
# The comment of a helper transaction. It changes one reason; the next transaction restores it. The names of what to
# restore follow this text. See worker/dnf5/interrupted.py.
HALFWAY = "os-update-agent: set back in a moment: "


class Refused(Exception):
    """The request cannot be done. The text is for the operator."""


class Locked(Exception):
    """Another process is changing packages just now."""


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

    ``digests`` (rpm's SIGMD5; "" skips the comparison) and ``files`` (paths to download to) are in the order of
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


class Transact(NamedTuple):
    """Run a transaction. Answer: Done. Directly after an Effect of the same root and todo nothing is resolved again."""

    root: str
    comment: str
    todo: Todo


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


Request = Union[Refresh, Reasons, Candidates, Available, Fetch, Effect, Transact, Mark, Complete, Erase]
_KINDS = (
    *(Refresh, Reasons, Candidates, Available, Fetch),
    *(Effect, Transact, Mark, Complete, Erase),
)  # type: Sequence[Type[Any]]


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
    """An update as dnf plans it. ``held`` has a name and a reason for each package that is newer and not planned."""

    comes: Sequence[Coming]
    goes: Sequence[Identity]
    held: Sequence[Tuple[str, str]]


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


class Done(NamedTuple):
    """A transaction was run. ``complaints`` is what went wrong, and ``said`` the lines that scriptlets have printed. A
    failing scriptlet need not fail a transaction.
    """

    complaints: Sequence[str]
    said: Sequence[str]


class Reply(NamedTuple):
    """The answer to a request, or why there is none: ``busy`` if another process holds a lock, ``error`` otherwise."""

    answer: Any = None
    busy: str = ""
    error: str = ""


# --- lines


def action_of(request: Request) -> str:
    """Return the name of what the request asks for, such as "fetch"."""
    return type(request).__name__.lower()


def as_line(request: Request) -> bytes:
    """Return the request as a line of JSON."""
    return _line(dict(_plain(request), action=action_of(request)))


def reply_line(reply: Reply) -> bytes:
    """Return the answer as a line of JSON."""
    return _line(reply._asdict())


def _line(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document).encode() + b"\n"


def parse_request(line: bytes) -> Request:
    """Return the request in a line of JSON.

    An unknown field is ignored, and a new one needs a default: an update may have replaced the agent on the disk, and
    its process then asks a worker of another version. Raises Refused that names an unknown action and each field that
    is missing or of another type.
    """
    try:
        document = json.loads(line.decode())
    except ValueError as error:
        raise Refused(f"the request is not JSON: {error}") from error
    action = document.get("action") if isinstance(document, dict) else None
    kind = next((kind for kind in _KINDS if kind.__name__.lower() == action), None)
    if kind is None:
        raise Refused(f"dnf's worker knows no action {action!r}")
    fields = {name: value for name, value in document.items() if name != "action"}
    request = _typed(kind, fields, f"the request {action!r}")  # type: Request
    return request


def as_reply(line: bytes) -> Reply:
    """Return the answer in a line of JSON; a field of another version is ignored. Raises ValueError."""
    document = json.loads(line.decode())
    if not isinstance(document, dict):
        raise ValueError("the answer is no object")
    return Reply(**{name: _tuples(document[name]) for name in Reply._fields if name in document})


def _plain(value: Any) -> Mapping[str, Any]:
    return {name: _plain(field) if hasattr(field, "_asdict") else field for name, field in value._asdict().items()}


def _typed(kind: Type[Any], fields: Mapping[str, Any], what: str) -> Any:
    known = [name for name in kind._fields if name in fields]
    missing = [name for name in kind._fields if name not in fields and name not in kind._field_defaults]
    if missing:
        raise Refused("{} needs the field {}".format(what, ", ".join(map(repr, missing))))
    return kind(**{name: _field(kind.__annotations__[name], fields[name], f"{name!r} of {what}") for name in known})


def _field(kind: Any, value: Any, what: str) -> Any:
    """Return the value as the type of its field: a string, a boolean, a list (as a tuple), or another NamedTuple."""
    expected = kind if kind in (str, bool) else dict if hasattr(kind, "_fields") else list
    if not isinstance(value, expected):
        raise Refused(f"{what} is no {expected.__name__}")
    return _typed(kind, value, what) if isinstance(value, dict) else _tuples(value)


def _tuples(value: Any) -> Any:
    """Return JSON with its lists as tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
