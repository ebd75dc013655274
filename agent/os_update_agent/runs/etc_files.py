"""The files below /etc on the way of a run: noted before it, compared after a way back, and put back.

A package's scripts may change any file there, and a new version may drop or move a configuration file that an operator
has edited. No package database knows the old text, so a run keeps the contents of what it changes.

None of this decides whether packages are right: what cannot be read or written here is a note.
"""

from dataclasses import replace
from hashlib import sha256
from typing import Callable, Dict, FrozenSet, Iterable, List, Optional, Sequence, Tuple

from os_update_agent.model.errors import AgentError, Damaged, LedgerError
from os_update_agent.model.etc_files import (
    Difference,
    EtcFile,
    Listing,
    Step,
    changed_paths,
    differences,
    lost_edits,
)
from os_update_agent.model.packages import diff
from os_update_agent.model.phases import RESTORE, TRANSACT, VERIFY
from os_update_agent.model.runs import Run
from os_update_agent.node.etc_files import NotWritten, put_back, read_etc, read_regular, remove
from os_update_agent.node.kept_contents import Copies, keep_only, kept_contents
from os_update_agent.node.permissions import make_private
from os_update_agent.packages.complaints import unknown_texts_in
from os_update_agent.packages.state import visible
from os_update_agent.runs.context import Work, noted
from os_update_agent.runs.etc_history import Recorded, contents_of, listing_in, recorded_etc, recorded_etc_of_state
from os_update_agent.text.phrases import named

# So many differing files are named in a result.
_MOST_NAMED = 200


def with_etc_before(work: Work) -> Run:
    """Return the run with the files below /etc before its first transaction. Their contents are kept beside."""
    if work.run.etc_before is not None:
        return work.run
    try:
        make_private(work.site.settings.etc)
        with Copies(contents_of(work.site.settings.etc, work.run)) as copies:
            listing = read_etc(work.site.settings.root, work.backend.packaged_texts(), copies.add)
        why = copies.failure
    except (AgentError, OSError) as error:
        listing, why = _read(work), str(error)
    run = replace(work.run, etc_before=_store(work, listing))
    return noted(run, f"not all contents of files below /etc could be kept: {why}") if why else run


def with_etc_after(work: Work, run: Run) -> Run:
    """Return the run with the files below /etc at its end, and with what differs from the state after a way back. Only
    the contents that the run has changed stay.
    """
    before = listing_in(work.site.ledger, run.etc_before)
    if before is None or run.etc_after is not None:
        return run
    now = _read(work)
    run = replace(run, etc_after=_store(work, now))
    try:
        keep_only(contents_of(work.site.settings.etc, run), changed_paths(before, now))
    except OSError as error:
        run = noted(run, f"the contents of unchanged files below /etc are still kept: {error}")
    if run.kind != RESTORE and not run.progress.undo_was_tried:
        return run
    return replace(run, etc_differs=tuple(one.words for one in _found(work, _recorded(work), now)[:_MOST_NAMED]))


def put_edits_back(work: Work) -> Run:
    """Put back the edited configuration files that an update has lost, before a way back: the package manager then
    keeps them, lays the packaged text beside, and services start with them. Returns the run that names them.
    """
    recorded = _recorded(work)
    lost = lost_edits(_ours(work, _found(work, recorded, _read(work))))
    lost = tuple(one for one in lost if one.wanted is not None and one.wanted.kind != "absent")
    failed = _put_back(work, recorded, lost)
    put = tuple(one.path for one in lost if one.path not in failed)
    return replace(work.run, edits_back=tuple(dict.fromkeys((*work.run.edits_back, *put))))


def with_etc_back(work: Work, run: Run) -> Run:
    """Return the run after a way back has put files below /etc back: edited configuration files, and with ``etc_files:
    restore`` all that only runs of the agent have changed since.
    """
    if run.etc_before is None:
        return run
    recorded = _recorded(work)
    found = _ours(work, _found(work, recorded, _read(work)))
    lost = lost_edits(found)
    for one in lost:
        _lay_beside(work, one)
    is_restored = work.policy.etc_files == "restore"
    failed = _put_back(work, recorded, [one for one in found if one in lost or (is_restored and one.by_run)])
    _lay_texts_beside(work, run.edits_back)
    unknown = unknown_texts_in(work.said_in(TRANSACT if run.phase == VERIFY else run.phase))
    if unknown:
        run = noted(
            run, f"kept as edited, and the packaged text is not known (its package had to be rebuilt): {named(unknown)}"
        )
    if failed:
        run = noted(run, f"could not be put back: {named([f'{path} ({why})' for path, why in failed.items()])}")
    return run


def at_least(work: Work, action: Callable[[], Run], run: Run) -> Run:
    """Return what the action returns. If it fails, the packages count alone: the failure is a note on the run."""
    try:
        return action()
    except LedgerError as error:
        if not isinstance(error, Damaged):
            raise
        why: Exception = error
    except (AgentError, OSError) as error:
        why = error
    work.say(f"files below /etc: {why}")
    return noted(run, f"the files below /etc were not compared or put back: {why}")


def can_be_put_back(work: Work) -> bool:
    """Is there a file below /etc that ``etc_files: restore`` would put back, although no package changes?"""
    recorded = _recorded(work) if work.policy.etc_files == "restore" else None
    if recorded is None:
        return False
    found = differences(recorded.listing, _read(work), _steps(work, recorded))
    return any(one.by_run for one in _ours(work, found))


def _found(work: Work, recorded: Optional[Recorded], now: Listing) -> Tuple[Difference, ...]:
    """Return the files that differ from the state that the way back leads to."""
    before = listing_in(work.site.ledger, work.run.etc_before)
    if recorded is None or before is None:
        return ()
    return differences(recorded.listing, now, [*_steps(work, recorded), Step(before, now)])


def _steps(work: Work, recorded: Recorded) -> List[Step]:
    """Return what the runs since then have changed. With ``restore: changes`` only this key's runs are the agent's."""
    found = []
    for run in recorded.since:
        is_ours = run.key == work.run.key or work.policy.restore != "changes"
        before, after = (listing_in(work.site.ledger, number) for number in (run.etc_before, run.etc_after))
        if is_ours and before is not None and after is not None:
            found.append(Step(before, after))
    return found


def _ours(work: Work, found: Sequence[Difference]) -> Tuple[Difference, ...]:
    """Leave out the configuration files of packages that this way back does not change."""
    changed = _changed_by(work)
    return tuple(
        one
        for one in found
        if all(file is None or not file.package or file.package in changed for file in (one.wanted, one.found))
    )


def _changed_by(work: Work) -> FrozenSet[str]:
    """Return the names of the packages that the way back changes, wherever it has come to."""
    run, state = work.run, work.site.ledger.state
    ends = [state(number) for number in (run.before, run.after, run.target) if number is not None]
    return frozenset(change.name for one, other in zip(ends, ends[1:]) for change in visible(diff(one, other)))


def _recorded(work: Work) -> Optional[Recorded]:
    run, ledger = work.run, work.site.ledger
    if run.kind != RESTORE:
        listing = listing_in(ledger, run.etc_before)
        return Recorded(listing, ()) if listing is not None else None
    if run.reached_before is not None:
        return recorded_etc(ledger, run.key, run.value, besides=run.id)
    if run.restored_from is None or run.restored_from == ledger.history(run.key).first_state:
        return recorded_etc(ledger, run.key, None, besides=run.id)
    return recorded_etc_of_state(ledger, run.key, run.restored_from, besides=run.id)


def _put_back(work: Work, recorded: Optional[Recorded], found: Sequence[Difference]) -> Dict[str, str]:
    """Put files back as the state has them. Returns why that was not possible, by path."""
    if recorded is None:
        return {}
    contents = _contents(work, recorded, found)
    failed: Dict[str, str] = {}
    root = work.site.settings.root
    for one in found:
        try:
            if one.wanted is None or one.wanted.kind == "absent":
                remove(root, one.path)
            elif one.wanted.kind == "file" and one.path not in contents:
                raise NotWritten("its content was not kept")
            else:
                put_back(root, one.wanted, contents.get(one.path, b""), recorded.listing)
            work.say(f"put back: {one.path}")
        except NotWritten as error:
            failed[one.path] = str(error)
    return failed


def _contents(work: Work, recorded: Recorded, found: Iterable[Difference]) -> Dict[str, bytes]:
    """Return the contents of the wanted files, from those that the runs since have kept."""
    wanted = {one.path: one.wanted.content for one in found if one.wanted is not None and one.wanted.kind == "file"}
    contents: Dict[str, bytes] = {}
    for run in (*recorded.since, work.run):
        place = contents_of(work.site.settings.etc, run)
        missing = wanted.keys() - contents.keys()
        if not missing or not place.exists():
            continue
        try:
            kept = kept_contents(place, missing)
        except OSError as error:
            work.say(f"kept contents: {error}")
            continue
        contents.update(
            (path, content) for path, content in kept.items() if sha256(content).hexdigest() == wanted[path]
        )
    return contents


def _lay_texts_beside(work: Work, paths: Sequence[str]) -> None:
    """Lay the packaged text beside each edited file that was put back, where the package manager has not done so. dpkg
    does it only if it has another text than the version before.
    """
    beside = {path: work.site.settings.root / f"{path}{work.backend.packaged_suffix}".lstrip("/") for path in paths}
    missing = [path for path, place in beside.items() if not place.exists()]
    if not missing:
        return
    texts, now = work.backend.packaged_texts(), _read(work)
    for path in missing:
        text = work.backend.packaged_content(path, texts[path]) if path in texts else None
        if text is not None and path in now and now[path].kind == "file" and now[path].is_edited:
            _write_beside(work, now[path], text)


def _lay_beside(work: Work, one: Difference) -> None:
    """Keep the text that takes the place of an edited file beside it, as the package manager does it."""
    place = work.site.settings.root / one.path.lstrip("/")
    beside = place.with_name(place.name + work.backend.packaged_suffix)
    if one.found is not None and one.found.kind == "file" and not beside.exists():
        text = read_regular(place)
        if text is not None:
            _write_beside(work, one.found, text)


def _write_beside(work: Work, file: EtcFile, text: bytes) -> None:
    beside = f"{file.path}{work.backend.packaged_suffix}"
    try:
        put_back(work.site.settings.root, file._replace(path=beside), text, {})
    except NotWritten as error:
        work.say(f"{beside} could not be written: {error}")


def _read(work: Work) -> Listing:
    return read_etc(work.site.settings.root, work.backend.packaged_texts())


def _store(work: Work, listing: Listing) -> int:
    return work.site.ledger.put_listing([file.line() for file in listing.values()])
