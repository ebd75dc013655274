"""What a run came to, told to Heat and to the operator. Pure: everything that is told is handed in."""

import re
from datetime import datetime, timezone
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from os_update_agent.decision.state_names import in_words
from os_update_agent.model.deliveries import Outcome
from os_update_agent.model.errors import AgentError, Overtaken
from os_update_agent.model.node_facts import NodeFacts
from os_update_agent.model.packages import Change
from os_update_agent.model.phases import BACK, CHANGED, FORTH, NOT_UNDONE, UNDONE
from os_update_agent.model.runs import Run
from os_update_agent.text.outputs import outputs_of
from os_update_agent.text.phrases import listed, named
from os_update_agent.text.printable import indented, joined, printable, printable_lines

SHOWN_VALUE = 80
SHOWN_CHANGES = 200

NOTHING_CHANGED = "nothing was changed"
_SAME_VALUE = "send the same value again"
AGAIN = f"fix the cause named above, then {_SAME_VALUE}"
# dpkg: package architecture (i386) does not match system (amd64)
_FOREIGN = re.compile(r"package architecture \((?P<arch>[a-z0-9-]+)\) does not match system")
_DONE = {"update": "updated to", "restore": "restored", "download": "downloaded for", "assess": "assessed for"}
_TRIED = {"update": "update to", "restore": "restore of", "download": "download for", "assess": "assessment for"}
_SWITCHED = {"stop": "stopped", "start": "started"}


class Facts(NamedTuple):
    """What the ledger and the node add to a finished run.

    ``changes`` are the versions that really changed; ``is_exact`` says that the digest equals that of the recorded
    state, apart from the marks of ``other_marks``, the names whose marks could not be set. ``unknown_builds`` are the
    names of packages whose builds the recorded state does not know. ``node`` is the node after the run.
    """

    changes: Tuple[Change, ...] = ()
    node: NodeFacts = NodeFacts()
    is_exact: bool = True
    other_marks: Tuple[str, ...] = ()
    unknown_builds: Tuple[str, ...] = ()
    log_tail: str = ""


def outcome_of_run(run: Run, facts: Facts) -> Outcome:
    """The result of a finished run: status 0 only when the value was reached."""
    outputs = _outputs(run, facts)
    if run.progress.reached:
        return Outcome(0, joined(_success(run, facts)) + "\n", _notes(run), outputs)
    return Outcome(run.status or 1, joined(_planned(run)) + "\n", _failure(run, facts), outputs)


def outcome_of_switch(run: Run, log_tail: str) -> Outcome:
    """The result of a finished run that stopped or started services; no package was looked at."""
    units: Sequence[str] = run.policy["units"]
    if run.progress.reached:
        why = ", because an old value is back" if run.kind != run.policy["operation"] else ""
        before = [unit for unit in units if (unit in run.were_active) == (run.kind == "start")]
        already = f"; so before: {named(before)}" if before else ""
        text = f"{_SWITCHED[run.kind]} for {shown(run.value)}{why}: {named(units)}{already}"
        return Outcome(0, joined([text, f"log on the node: {run.log}"]) + "\n", _notes(run))
    if not run.progress.change_began:
        aftermath = NOTHING_CHANGED
    elif run.progress.impact == UNDONE:
        aftermath = "what was running before runs again"
    elif run.progress.impact == CHANGED:
        aftermath = "the services are left as they are"
    else:
        aftermath = "not everything that was running before runs again"
    lines = [f"{run.kind} for {shown(run.value)} failed: {run.failure}", aftermath, *run.notes, f"next: {AGAIN}"]
    return Outcome(run.status or 1, "", _complaint([*lines, f"full log on the node: {run.log}"], log_tail))


def outcome_of_nothing(reason: str, value: str) -> Outcome:
    """A delivery that changed no package, and why that is right."""
    text = f"nothing to do for {shown(value)}: {reason}" if value else reason
    return Outcome(0, f"{printable(text)}\n")


def outcome_of_overtaken(value: str) -> Outcome:
    """A deployment outside of a stack that was not run."""
    return outcome_of_error(Overtaken(f"{shown(value)}: not run, a newer deployment of the same name has come"))


def outcome_of_baseline(value: str, count: int) -> Outcome:
    text = f"{shown(value)} is the baseline: the state of {count} installed packages is recorded; nothing was changed\n"
    return Outcome(0, text)


def outcome_of_error(error: AgentError, aftermath: str = NOTHING_CHANGED) -> Outcome:
    """A delivery that could not be used or brought to its end, what that means for the node, and what to do next."""
    return Outcome(error.exit_status or 1, "", _complaint([f"{error}; {aftermath}", f"next: {error.advice}"]))


def with_node(outcome: Outcome, facts: NodeFacts) -> Outcome:
    """Return the outcome with the facts about the node: all outputs that it does not have yet, and a line for each fact
    to act on if it is a success.
    """
    if "state_digest" in outcome.outputs:
        return outcome
    lines = _of_the_node(facts) if outcome.status_code == 0 else []
    stdout = outcome.stdout + "".join(f"{printable(line)}\n" for line in lines)
    return outcome._replace(stdout=stdout, outputs={**outputs_of(facts), **outcome.outputs})


def _of_the_node(facts: NodeFacts) -> List[str]:
    lines = [f"held back: {one.name}: {one.reason}" for one in facts.held_back or ()]
    lines += _drifted(facts)
    lines += [f"reboot required: {reason}" for reason in facts.reboot or ()]
    if facts.services:
        lines.append(f"services that still run replaced code: {named(facts.services)}")
    return lines


def _drifted(facts: NodeFacts) -> List[str]:
    """Return the line about what others have changed, none if they have changed nothing."""
    drift = facts.drift
    found = [*listed(drift.changes), *drift.others] if drift is not None else []
    return [f"changed by others since the last result: {named(found)}"] if found else []


def shown(value: object) -> str:
    """A value for a sentence: quoted, without control characters, cut."""
    text = repr(value)
    return text if len(text) <= SHOWN_VALUE else f"{text[:SHOWN_VALUE]}..."


def when(seconds: Optional[float]) -> str:
    """Return seconds since the epoch as UTC; "-" for none and for what no calendar holds."""
    if seconds is None:
        return "-"
    try:
        return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return "-"


def _outputs(run: Run, facts: Facts) -> Dict[str, Any]:
    changes: Sequence[Change] = run.plan.changes if run.kind in ("assess", "download") else facts.changes
    return outputs_of(facts.node, changes, f"{shown(run.value)}, {_origin(run)}" if run.kind == "restore" else "")


def _success(run: Run, facts: Facts) -> List[str]:
    changes = run.plan.changes if run.kind in ("assess", "download") else facts.changes
    would = " would change" if run.kind in ("assess", "download") else " changed"
    lines = [f"{_DONE[run.kind]} {shown(run.value)}: {_count(changes)}{would}"]
    if run.kind == "restore":
        but = f", but for the marks of {named(facts.other_marks)}" if facts.other_marks else ""
        lines[0] += f"; the state {_origin(run)} is back{but}"
        if not facts.is_exact:
            lines.append(
                "left as it is: what other deployments or operators have changed, and left-over configuration that is"
                " gone"
            )
        if facts.unknown_builds:
            lines.append(
                "only the versions were compared, because the recorded state has no digest of the packages:"
                f" {named(facts.unknown_builds)}"
            )
    lines += _listed(changes)
    lines += _remarks(run)
    lines += _etc_differs(run)
    # The run's own remarks have named what it has held back.
    lines += _of_the_node(facts.node._replace(held_back=()))
    return [*lines, f"log on the node: {run.log}"]


def _origin(run: Run) -> str:
    """Return where the state of a restore comes from."""
    return in_words(run.value) if run.reached_before is None else f"reached {when(run.reached_before)}"


def _planned(run: Run) -> List[str]:
    planned = run.plan.changes
    if not planned:
        return [f"{_TRIED[run.kind]} {shown(run.value)}"]
    return [
        f"{_TRIED[run.kind]} {shown(run.value)}: {_count(planned)} planned",
        *_listed(planned),
        *_remarks(run),
    ]


def _remarks(run: Run) -> List[str]:
    lines = [f"held back: {item.name}: {item.reason}" for item in run.plan.held_back]
    if run.plan.removes_foreign:
        lines.append(f"removes packages that the agent did not install: {named(run.plan.removes_foreign)}")
    if run.plan.settings:
        is_done = "put back" if run.progress.reached else "to put back"
        lines.append(f"settings outside of the packages {is_done}: {named(run.plan.settings)}")
    lines += run.plan.other_keys
    if not run.is_as_before:
        if run.plan.lost:
            lines.append(f"cannot be undone for: {named(run.plan.lost)}")
        lines += [f"cannot be undone: {reason}" for reason in run.plan.undo_refused]
        lines += [f"not checked: {sentence}" for sentence in run.plan.undo_unchecked]
    if run.restarted:
        lines.append(f"restarted, because they ran replaced code: {named(run.restarted)}")
    if run.restart_last:
        lines.append(f"restarted as soon as os-refresh-config is at rest: {named(run.restart_last)}")
    if FORTH in run.progress.rebooted:
        lines.append(f"the machine was booted again after the {run.kind}")
    if BACK in run.progress.rebooted:
        lines.append("the machine was booted again after the undo")
    if run.plan.rebuilt:
        lines.append(f"kept as rebuilt packages, with any local edits in them: {named(run.plan.rebuilt)}")
    return lines


def _failure(run: Run, facts: Facts) -> str:
    lines = [f"{_TRIED[run.kind]} {shown(run.value)} failed: {run.failure}", _aftermath(run, facts)]
    return _complaint(
        [*lines, *_etc_differs(run), *run.notes, f"next: {_next(run)}", f"full log on the node: {run.log}"],
        facts.log_tail,
    )


def _etc_differs(run: Run) -> List[str]:
    """Return the line that names the files below /etc that differ from the state after a way back."""
    if not run.etc_differs:
        return []
    count = len(run.etc_differs)
    files = "1 file differs" if count == 1 else f"{count} files differ"
    return [f"{files} from the recorded state: {named(run.etc_differs)}"]


def _complaint(texts: Sequence[str], log_tail: str = "") -> str:
    """What went wrong, without an empty line: behind the first one comes the end of the log, which not everybody is
    shown.
    """
    text = "".join(f"{_without_empty_lines(text)}\n" for text in texts if text.strip())
    return f"{text}\n{printable_lines(log_tail)}\n" if log_tail else text


def _without_empty_lines(text: str) -> str:
    return indented("\n".join(line for line in printable_lines(text).split("\n") if line.strip()))


def _aftermath(run: Run, facts: Facts) -> str:
    if not run.progress.change_began:
        return NOTHING_CHANGED
    if run.progress.impact == UNDONE:
        return f"the {run.kind} was undone: the node has the packages that it had before"
    if run.progress.impact == CHANGED:
        return f"the node is left as it is ({_count(facts.changes)} changed)"
    return f"the {run.kind} could not be undone: {_count(facts.changes)} not as before"


def _next(run: Run) -> str:
    if run.progress.impact == NOT_UNDONE and run.departing is not None:
        value = shown(run.departing)
        return (
            "on the node 'os-update-agent diff now VALUE' shows what differs, and 'rollback VALUE' tries again; VALUE"
            f" is {value}"
        )
    if run.progress.impact == NOT_UNDONE:
        return "on the node 'os-update-agent status' says how it stands"
    return _way_out(run.failure)


def _way_out(failure: str) -> str:
    """Return what to do before the next attempt."""
    foreign = _FOREIGN.search(failure)
    if foreign is not None:
        return f"run 'dpkg --add-architecture {foreign['arch']}' on the node, then {_SAME_VALUE}"
    if "NOKEY" in failure:
        return f"run 'rpm --import FILE' on the node with the key that is named above, then {_SAME_VALUE}"
    return AGAIN


def _notes(run: Run) -> str:
    return "".join(f"{printable(note)}\n" for note in run.notes)


def _listed(changes: Sequence[Change]) -> List[str]:
    lines = [f"  {line}" for line in listed(changes)[:SHOWN_CHANGES]]
    more = len(changes) - len(lines)
    return [*lines, f"  and {more} more"] if more > 0 else lines


def _count(changes: Sequence[Change]) -> str:
    return "1 package" if len(changes) == 1 else f"{len(changes)} packages"
