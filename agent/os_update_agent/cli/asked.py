"""What the verbs share: whose history is meant, under which policy, and how an answer is printed."""

import argparse
import contextlib
import sys
from typing import Any, Mapping, Optional, Sequence, Tuple

from os_update_agent.cli import views
from os_update_agent.config.options import is_unset
from os_update_agent.config.policy import NOT_BY_HAND, Policy
from os_update_agent.config.policy import by_hand as policy_by_hand
from os_update_agent.config.settings import Settings
from os_update_agent.delivery.deliver import BY_HAND
from os_update_agent.heat.outcome import complaint
from os_update_agent.model.deliveries import Outcome
from os_update_agent.model.errors import AgentError, Unrecorded, UsageError
from os_update_agent.model.packages import PackageState
from os_update_agent.model.runs import History, Record
from os_update_agent.runtime.context import Site
from os_update_agent.text.outcomes import shown

HAND_KEY = "by-hand"
NOW = "now"
_OF_ONE_DELIVERY = ("value", "key", "operation")


def histories(site: Site, key: Optional[str]) -> Tuple[History, ...]:
    return tuple(site.ledger.history(known) for known in site.ledger.all_keys() if key in (None, known))


def key_of(site: Site, asked: Optional[str]) -> str:
    """The key that was asked for, else the only one of the node. Raises Unrecorded where that is not clear."""
    keys = site.ledger.all_keys()
    if asked is not None:
        if is_unset(asked):
            raise Unrecorded(
                f"--key is {asked!r}, which stands for no key; recorded keys: {', '.join(map(repr, keys)) or 'none'}"
            )
        return asked
    if len(keys) > 1:
        raise Unrecorded(
            "this node has the histories of several deployments; say which with --key: " + ", ".join(map(repr, keys))
        )
    return keys[0] if keys else HAND_KEY


def refuse_now(value: Optional[str]) -> None:
    """A value of this name could never be compared. Raises UsageError."""
    if value == NOW:
        raise UsageError(
            f"VALUE is {NOW!r}, which is what 'diff' calls the installed packages; it must be another name"
        )


def tell_of_new_key(site: Site, key: str) -> None:
    """A key that is mistyped begins a new history, where a value that was reached under another one is unknown."""
    keys = site.ledger.all_keys()
    if keys and key not in keys:
        recorded = ", ".join(map(repr, keys))
        complain(
            f"nothing is recorded under the key {key!r}: it begins a history of its own; recorded keys: {recorded}"
        )


def record_of(known: History, value: str) -> Record:
    record = known.record(value)
    if record is None:
        values = ", ".join(shown(other.value) for other in known.records) or "none"
        raise Unrecorded(f"{shown(value)} is not recorded under {known.key!r}; recorded values: {values}")
    return record


def state_of(site: Site, settings: Settings, arguments: argparse.Namespace, name: str) -> PackageState:
    if name == NOW:
        return site.backend(policy_by_hand("", HAND_KEY, settings.defaults)).capture()
    record = record_of(site.ledger.history(key_of(site, arguments.key)), name)
    if record.state is None:
        raise Unrecorded(f"{shown(name)} was tried and never reached: no state is recorded")
    return site.ledger.state(record.state)


def policy_of(site: Site, arguments: argparse.Namespace, key: str) -> Policy:
    """As Heat's last delivery of the key had it, under what this command line says: by hand and by Heat the same is
    excluded.
    """
    last = site.ledger.last_policy(key, besides=BY_HAND) or {}
    options = {name: value for name, value in last.items() if name not in _OF_ONE_DELIVERY and value not in (None, [])}
    if arguments.select or arguments.packages or arguments.exclude:
        # Their restriction decides anew how a restore is meant.
        options.pop("restore", None)
    for name, globs in (("packages", arguments.packages or ()), ("exclude", arguments.exclude or ())):
        for empty in filter(_is_empty, globs):
            raise UsageError(
                f"--{name} is {empty!r}, which names no package; without --{name} what was said before holds"
            )
    for name in ("select", "packages", "exclude"):
        if getattr(arguments, name):
            options[name] = getattr(arguments, name)
    for assignment in arguments.set or ():
        name, value = _assigned(assignment)
        options[name] = value
    return policy_by_hand(arguments.value or "", key, site.settings.defaults, **options)


def _assigned(assignment: str) -> Tuple[str, str]:
    """The option and its value in --set OPTION=VALUE. Raises UsageError."""
    name, sign, value = assignment.partition("=")
    name = name.strip().replace("-", "_")
    if not sign:
        raise UsageError(f"--set {assignment!r}: it must be OPTION=VALUE")
    if name in NOT_BY_HAND:
        raise UsageError(
            f"--set {assignment!r}: by hand the value is VALUE, and --key says whose history it belongs to"
        )
    if _is_empty(value):
        raise UsageError(f"--set {assignment!r}: that is no value; without --set what was said before holds")
    return name, value


def _is_empty(text: str) -> bool:
    """In a template that leaves it to others what holds; here it is a variable of a script that is empty. Commas
    separate the members of a list.
    """
    return is_unset(text) or not text.strip(", \t")


def answer(arguments: argparse.Namespace, document: views.Document, text: str) -> int:
    write_answer(f"{_json(document) if arguments.json else text}\n")
    return 0


def _json(document: Mapping[str, Any]) -> str:
    """In the letters that standard output has: JSON has its own way to write the others."""
    return views.as_json(
        document, only_ascii=not str(getattr(sys.stdout, "encoding", "utf-8")).lower().startswith("utf")
    )


def write_answer(text: str) -> None:
    """On standard output, with all that was printed before; what cannot be written is to be known before Python ends.

    Raises AgentError that says so; BrokenPipeError where nobody reads.
    """
    try:
        if sys.stdout is not None:  # it was closed before we came
            sys.stdout.write(text)
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        unwritten = AgentError(
            f"the answer cannot be written to standard output ({error.strerror}); what was done stands"
        )
        unwritten.advice = "'os-update-agent history' and 'status' tell what was done"
        raise unwritten from error


def complain(text: str) -> None:
    """On standard error; where that is closed or full the exit status says enough."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(text, file=sys.stderr, flush=True)


def tell(arguments: argparse.Namespace, outcome: Outcome) -> int:
    """Print an outcome, without the end of the log, which is named; the exit status is 0, 1, or that of "busy"."""
    if getattr(arguments, "json", False):
        document = {
            "status_code": outcome.status_code,
            "stdout": outcome.stdout,
            "stderr": outcome.stderr,
            **outcome.outputs,
        }
        text, said = f"{_json(document)}\n", ""
    else:
        text, said = outcome.stdout, complaint(outcome.stderr)
    if said:
        complain(said)
    # Whether anybody reads it does not change what was done.
    with contextlib.suppress(BrokenPipeError):
        write_answer(text)
    known: Sequence[int] = (0, 75)
    return outcome.status_code if outcome.status_code in known else AgentError.exit_status
