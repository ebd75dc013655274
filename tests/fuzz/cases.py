"""Cases for the whole hook: a deployment, the options of agent.conf, and what the hook inherits, all mutated."""

import json
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from fuzz.mutation import mutated
from fuzz.targets import CAPTURES, NASTY, SNIPPETS
from os_update_agent.config import options
from packages.node import RESOURCE, SERVER, STACK

# A case must not wait for what nobody gives: the time to try a signal, or to wait for a lock, is never mutated.
_NOT_MUTATED = ("signal_timeout", "lock_timeout", "script_timeout")
_DEFAULTS = (
    "keep = 3\narchive = required\npackages = app, lib*\n",
    "exclude = app\non_failure = keep\nforget_after = 30\n",
    "operation = assess\nunits = a.service\nselect = security\nrestore = changes\nreboot = if-needed\n",
)
_WORDS = (
    *("update", "download", "assess", "stop", "start", "all", "security", "refuse", "allow", "replace", "restore"),
    *("required", "off", "best-effort", "exact", "changes", "keep", "always", "if-needed", "app", "lib*", "a.service"),
    *("0", "1", "-1", "3.5", "1e9", "nan", "", "None", "true", "[]", "['app']", '{"a": 1}'),
)
_ACTIONS = (*("UPDATE",) * 9, *("CREATE",) * 3, "DELETE", "DELETE", "SUSPEND", "RESUME", "EXPLODE", "")
_TRANSPORTS = (
    *("CFN_SIGNAL",) * 8,
    *("NO_SIGNAL",) * 4,
    "TEMP_URL_SIGNAL",
    "HEAT_SIGNAL",
    "ZAQAR_SIGNAL",
    "PIGEON",
    "",
)
_CREDENTIALS = ("deploy_user_id", "deploy_password", "deploy_project_id", "deploy_queue_id", "deploy_region_name")
_VARIABLES = {
    "LANG": ("C", "tr_TR.UTF-8", "xx", "\udcff", ""),
    "LC_ALL": ("C", "POSIX", "ja_JP.eucJP", "x" * 300),
    "LANGUAGE": ("de:fr", ":"),
    "HOME": ("/", "/nowhere", "relative", "/etc/passwd", ""),
    "TZ": (":/nowhere", "Mars/Phobos", "UTC-99", "\x01"),
    "PATH": ("", ".", "/nowhere", "/usr/bin", ":/usr/bin:/bin:"),
    "PYTHONHOME": ("/nowhere",),
    "PYTHONPATH": ("/nowhere:.",),
    "PYTHONSTARTUP": ("/etc/passwd",),
    "PYTHONIOENCODING": ("ascii", "utf-16", "nonsense"),
    "PYTHONWARNINGS": ("error",),
    "PYTHONINSPECT": ("1",),
    "PYTHONOPTIMIZE": ("2",),
    "PYTHONUTF8": ("0",),
    "http_proxy": ("http://127.0.0.1:9", "not a url", "socks5://x", "http://[::"),
    "HTTPS_PROXY": ("http://\udcff@127.0.0.1:1",),
    "no_proxy": ("*", ",,"),
    "TMPDIR": ("/nowhere", "relative", "/mnt"),
    "COLUMNS": ("0", "-1", "x"),
    "DPKG_ROOT": ("/nowhere",),
    "DPKG_FORCE": ("all",),
    "JOURNAL_STREAM": ("1:1", "x"),
    "NOTIFY_SOCKET": ("/nowhere",),
    "REQUESTS_CA_BUNDLE": ("/nowhere",),
    "OS_UPDATE_AGENT_CALLER_UNIT": ("x.service",),
}
_DIRECTORIES = ("/", "/nowhere", "/proc/self", "/mnt")


class Case(NamedTuple):
    """One call of the hook.

    Attributes:
        stdin: The text on its standard input, in which URL stands for the server that takes signals.
        defaults: The lines below [defaults] in agent.conf.
        environment: Variables that are set besides.
        directory: Where it is started.
        umask: Its umask.
    """

    stdin: str
    defaults: str
    environment: Dict[str, str]
    directory: str
    umask: int


def cases() -> SearchStrategy[Case]:
    """Return the cases: most of them have one part mutated much and the others little or not."""
    samples = [path.read_text(encoding="utf-8").replace("https://heat.example:8000", "URL") for path in _captures()]
    sound, odd = structured(samples, edited=False), structured(samples, edited=True)
    deployments = st.integers(0, 9).flatmap(
        lambda number: sound if number < 3 else odd if number < 6 else mutated(samples)
    )
    pairs = st.integers(0, 9).flatmap(
        lambda number: (
            st.tuples(deployments, st.one_of(st.just(""), st.sampled_from(_DEFAULTS)))
            if number < 8
            # An agent.conf that cannot be read has the built-in time to try a signal: nothing else may be odd then.
            else st.tuples(sound, mutated(_DEFAULTS))
        )
    )
    directories = st.one_of(st.just("/"), st.sampled_from(_DIRECTORIES))
    umasks = st.sampled_from((0o022, 0o022, 0o077, 0, 0o777))
    return st.builds(lambda pair, *others: Case(*pair, *others), pairs, _environments(), directories, umasks)


def _captures() -> List[Path]:
    return sorted(CAPTURES.glob("*.json"))


def _environments() -> SearchStrategy[Dict[str, str]]:
    pairs = [(name, value) for name, values in _VARIABLES.items() for value in values]
    return st.one_of(st.just({}), st.lists(st.sampled_from(pairs), max_size=4).map(dict))


def structured(samples: Sequence[str], *, edited: bool) -> SearchStrategy[str]:
    """Return deployments that are JSON with any value and options; ``edited``: some values are of another type."""
    documents = [json.loads(text) for text in samples]
    # Half of them belong to the key of which the node has recorded a baseline: they can go back to it.
    identity = {"deploy_stack_id": STACK, "deploy_resource_name": RESOURCE, "deploy_server_id": SERVER}
    documents += [
        {**one, "inputs": [{**item, "value": identity.get(item["name"], item["value"])} for item in one["inputs"]]}
        for one in documents
    ]
    text = st.one_of(st.sampled_from(NASTY), st.sampled_from(SNIPPETS), st.sampled_from(_WORDS), st.text(max_size=12))
    value = st.recursive(
        st.one_of(text, text, st.none(), st.booleans(), st.integers(), st.floats()),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(text, inner, max_size=3)),
        max_leaves=6,
    )
    names = sorted(set(options.READERS) - set(_NOT_MUTATED))
    odd = st.lists(st.tuples(st.sampled_from([*names, "colour"]), value), min_size=1, max_size=2)
    fit = [(name, word) for name in names for word in _WORDS if _fits(name, word)]
    usual = st.lists(st.sampled_from(fit), max_size=3)
    edits = st.lists(st.tuples(st.integers(0, 1 << 16), value), min_size=1, max_size=3)
    given = st.integers(0, 9).flatmap(lambda number: usual if number < 8 else odd)
    known = st.sampled_from(["v1", "v2", "v3", "2026-11-30T10:00:00Z"])
    return st.builds(
        _document,
        st.sampled_from(documents),
        st.one_of(known, known, value),
        st.sampled_from(_ACTIONS),
        st.sampled_from(_TRANSPORTS),
        given,
        st.sampled_from(("inputs", "config", "options")),
        edits if edited else st.just([]),
        st.integers(0, 1 << 64),
    )


def _fits(name: str, word: str) -> bool:
    """Say whether the option takes the word."""
    try:
        options.READERS[name](word)
    except ValueError:
        return False
    return name not in ("trigger", "state_key")


def _document(
    document: Any,
    value: Any,
    action: str,
    transport: str,
    given: List[Tuple[str, Any]],
    where: str,
    edits: List[Tuple[int, Any]],
    number: int,
) -> str:
    made = json.loads(json.dumps(document))
    made["id"] = f"{number:032x}"
    made["config"], made["options"] = "", {}
    own = {
        **{name: "x" for name in _CREDENTIALS if transport in ("HEAT_SIGNAL", "ZAQAR_SIGNAL")},
        "update_after_time": value,
        "deploy_action": action,
        "deploy_signal_transport": transport,
        "deploy_signal_id": f"URL/v1/signal/{number}",
        "deploy_auth_url": "URL/v3",
    }
    given = list(dict(given).items())
    inputs = [one for one in made["inputs"] if one["name"] not in own and one["name"].startswith("deploy_")]
    inputs += [{"name": name, "type": "String", "value": one} for name, one in own.items()]
    if where == "inputs":
        inputs += [{"name": name, "type": "String", "value": one} for name, one in given]
    elif given:
        made[where] = dict(given)
    made["inputs"] = inputs
    for place, one in edits:
        _replace(made, place, one)
    return json.dumps(made)


def _replace(made: Any, place: int, value: Any) -> None:
    """Replace one of the values of the document, wherever it is."""
    places: List[Tuple[Any, Any]] = []
    todo = [made]
    while todo:
        one = todo.pop()
        pairs = list(one.items()) if isinstance(one, dict) else list(enumerate(one))
        places += [(one, key) for key, _ in pairs]
        todo += [inner for _, inner in pairs if isinstance(inner, (dict, list))]
    holder, key = places[place % len(places)]
    holder[key] = value


def readable(case: Case) -> str:
    """Return the case as one line that can be read, to try it again."""
    return json.dumps({**case._asdict(), "stdin": ""}) + "\n" + json.dumps(case.stdin)


WORK = Path("/mnt")
