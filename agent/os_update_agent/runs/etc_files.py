"""The files below /etc on the way of a run: noted before it, compared after a way back, and put back.

A package's scripts may change any file there, and a new version may drop or move a configuration file that an operator
has edited. No package database knows the old text, so a run keeps the contents of what it changes.
"""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from os_update_agent.ledger import Ledger
from os_update_agent.model.errors import AgentError, Damaged
from os_update_agent.model.etc_files import (
    Difference,
    EtcFile,
    Listing,
    Step,
    changed_paths,
    differences,
    listing_of,
    lost_edits,
)
from os_update_agent.model.phases import RESTORE, TRANSACT, VERIFY
from os_update_agent.model.runs import Run
from os_update_agent.node.etc_files import Copies, NotWritten, keep_only, kept_contents, put_back, read_etc, remove
from os_update_agent.node.permissions import make_private
from os_update_agent.packages.complaints import unknown_texts_in
from os_update_agent.runs.context import Work, noted
from os_update_agent.text.phrases import named

# So many differing files are named in a result.
_MOST_NAMED = 200


class Recorded(NamedTuple):
    """The files below /etc in a recorded state, and the runs since then that have noted them, the oldest first."""

    listing: Listing
    since: Tuple[Run, ...]


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
    return noted(run, f"the contents of the files below /etc could not be kept: {why}") if why else run


def with_etc_after(work: Work, run: Run) -> Run:
    """Return the run with the files below /etc at its end, and with what differs from the state after a way back. Only
    the contents that the run has changed stay.
    """
    if run.etc_before is None or run.etc_after is not None:
        return run
    now = _read(work)
    before = listing_of(work.site.ledger.listing(run.etc_before))
    run = replace(run, etc_after=_store(work, now))
    try:
        keep_only(contents_of(work.site.settings.etc, run), changed_paths(before, now))
    except OSError as error:
        run = noted(run, f"the contents of the files below /etc could not be kept: {error}")
    if run.kind != RESTORE and not run.progress.undo_was_tried:
        return run
    return replace(run, etc_differs=tuple(one.words for one in _found(work, now)[:_MOST_NAMED]))


def put_edits_back(work: Work) -> None:
    """Put back the edited configuration files that an update has lost, before a way back: the package manager then
    keeps them, lays the packaged text beside, and services start with them.
    """
    if work.run.etc_before is not None:
        lost = lost_edits(_found(work, _read(work)))
        lost = tuple(one for one in lost if one.wanted is not None and one.wanted.kind != "absent")
        failed = _put_back(work, lost)
        work.edits_back = tuple(one.path for one in lost if one.path not in failed)


def with_etc_back(work: Work, run: Run) -> Run:
    """Return the run after a way back has put files below /etc back: edited configuration files, and with ``etc_files:
    restore`` all that only runs of the agent have changed since.
    """
    if run.etc_before is None:
        return run
    found = _found(work, _read(work))
    lost = lost_edits(found)
    for one in lost:
        _lay_beside(work, one)
    failed = _put_back(work, lost)
    if work.policy.etc_files == "restore":
        failed = {**failed, **_put_back(work, [one for one in found if one.by_run and one not in lost])}
    _lay_texts_beside(work)
    unknown = unknown_texts_in(work.said_in(TRANSACT if run.phase == VERIFY else run.phase))
    if unknown:
        run = noted(
            run, f"kept as edited, and the packaged text is not known (its package had to be rebuilt): {named(unknown)}"
        )
    if failed:
        run = noted(run, f"could not be put back: {named([f'{path} ({why})' for path, why in failed.items()])}")
    return run


def recorded_etc(ledger: Ledger, key: str, value: Optional[str], *, besides: int = 0) -> Optional[Recorded]:
    """Return the files below /etc in the state of a value: as they were when the node left it last, or else when it was
    reached. None if nobody has noted them. ``value`` None is the state before the first update.
    """
    since: List[Run] = []
    for run in ledger.walk_runs():
        if isinstance(run, Damaged) or run.id == besides or run.etc_before is None:
            continue
        is_own = run.key == key and run.leads_to_value
        if is_own and (run.is_first if value is None else run.departing == value):
            return Recorded(listing_of(ledger.listing(run.etc_before)), (run, *reversed(since)))
        if is_own and run.value == value and run.progress.reached and run.etc_after is not None:
            return Recorded(listing_of(ledger.listing(run.etc_after)), tuple(reversed(since)))
        since.append(run)
    return None


def contents_of(directory: Path, run: Run) -> Path:
    """Return where the contents are that the run has kept."""
    return directory / f"{run.id:06d}.tar"


def _found(work: Work, now: Listing) -> Tuple[Difference, ...]:
    """Return the files that differ from the state that the way back leads to."""
    recorded = _recorded(work)
    if recorded is None or work.run.etc_before is None:
        return ()
    ledger = work.site.ledger
    steps = [
        Step(listing_of(ledger.listing(run.etc_before)), listing_of(ledger.listing(run.etc_after)))
        for run in recorded.since
        if run.etc_before is not None and run.etc_after is not None
    ]
    steps.append(Step(listing_of(ledger.listing(work.run.etc_before)), now))
    return differences(recorded.listing, now, steps)


def _recorded(work: Work) -> Optional[Recorded]:
    run, ledger = work.run, work.site.ledger
    if run.kind != RESTORE and run.etc_before is not None:
        return Recorded(listing_of(ledger.listing(run.etc_before)), ())
    value = run.value if run.reached_before is not None else None
    return recorded_etc(ledger, run.key, value, besides=run.id)


def _put_back(work: Work, found: Sequence[Difference]) -> Dict[str, str]:
    """Put files back as the state has them. Returns why that was not possible, by path."""
    contents = _contents(work, found)
    failed: Dict[str, str] = {}
    root = work.site.settings.root
    for one in found:
        try:
            if one.wanted is None or one.wanted.kind == "absent":
                remove(root, one.path)
            elif one.wanted.kind == "link":
                put_back(root, one.wanted, b"")
            elif one.path in contents:
                put_back(root, one.wanted, contents[one.path])
            else:
                raise NotWritten("its content was not kept")
            work.say(f"put back: {one.path}")
        except NotWritten as error:
            failed[one.path] = str(error)
    return failed


def _contents(work: Work, found: Iterable[Difference]) -> Dict[str, bytes]:
    """Return the contents of the wanted files, from those that the runs since have kept."""
    wanted = {one.path: one.wanted.content for one in found if one.wanted is not None and one.wanted.kind == "file"}
    recorded = _recorded(work)
    contents: Dict[str, bytes] = {}
    for run in (*(recorded.since if recorded else ()), work.run):
        missing = wanted.keys() - contents.keys()
        if missing:
            kept = kept_contents(contents_of(work.site.settings.etc, run), missing)
            contents.update(
                (path, content) for path, content in kept.items() if sha256(content).hexdigest() == wanted[path]
            )
    return contents


def _lay_texts_beside(work: Work) -> None:
    """Lay the packaged text beside each edited file that was put back, where the package manager has not done so. dpkg
    does it only if it has another text than the version before.
    """
    for path in work.edits_back:
        beside = work.site.settings.root / f"{path}{work.backend.packaged_suffix}".lstrip("/")
        text = None if beside.exists() else work.backend.packaged_content(path)
        file = _read(work).get(path) if text is not None else None
        if text is not None and file is not None:
            _write_beside(work, file, text)


def _lay_beside(work: Work, one: Difference) -> None:
    """Keep the text that takes the place of an edited file beside it, as the package manager does it."""
    place = work.site.settings.root / one.path.lstrip("/")
    beside = place.with_name(place.name + work.backend.packaged_suffix)
    if one.found is not None and one.found.kind == "file" and not beside.exists():
        try:
            _write_beside(work, one.found, place.read_bytes())
        except OSError as error:
            work.say(f"{place} could not be read: {error}")


def _write_beside(work: Work, file: EtcFile, text: bytes) -> None:
    beside = f"{file.path}{work.backend.packaged_suffix}"
    try:
        put_back(work.site.settings.root, file._replace(path=beside), text)
    except NotWritten as error:
        work.say(f"{beside} could not be written: {error}")


def _read(work: Work) -> Listing:
    return read_etc(work.site.settings.root, work.backend.packaged_texts())


def _store(work: Work, listing: Listing) -> int:
    return work.site.ledger.put_listing([file.line() for file in listing.values()])
