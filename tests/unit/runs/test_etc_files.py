"""Which files below /etc differ from a state, and who has changed them."""

from typing import Dict, Optional, Tuple

import pytest

from os_update_agent.model.etc_files import (
    EtcFile,
    Listing,
    Step,
    changed_paths,
    differences,
    listing_of,
    lost_edits,
)

PATH = "/etc/app.conf"
CHANGED, GONE, NEW = (f"{PATH} ({kind})" for kind in ("changed", "gone", "new"))
BY_HAND = f"{PATH} (changed, not by the agent)"


def file(content: str, path: str = PATH, *, is_edited: bool = False) -> EtcFile:
    return EtcFile(path, "file", "644", "0:0", content, is_edited)


ABSENT = EtcFile(PATH, "absent", "", "", "", is_edited=True)


def at(found: Optional[EtcFile]) -> Listing:
    return {} if found is None else {found.path: found}


def texts(*contents: Optional[str]) -> Dict[str, bool]:
    """Return who changed the file, from its content in the state, then before and after each run, then now."""
    moments = [at(file(content) if content is not None else None) for content in contents]
    wanted, *rest, now = moments
    steps = [Step(before, after) for before, after in zip(rest[0::2], rest[1::2])]
    return {one.words: one.by_run for one in differences(wanted, now, steps)}


@pytest.mark.parametrize(
    ("contents", "found"),
    [
        (("a", "a", "a", "a"), {}),
        (("a", "a", "b", "b"), {CHANGED: True}),
        (("a", "a", None, None), {GONE: True}),
        ((None, None, "b", "b"), {NEW: True}),
        (("a", "a", "a", "b"), {BY_HAND: False}),
        # Two runs, and somebody between them, before them, or after them.
        (("a", "a", "b", "b", "c", "c"), {CHANGED: True}),
        (("a", "a", "b", "x", "c", "c"), {BY_HAND: False}),
        (("a", "x", "b", "b", "c", "c"), {BY_HAND: False}),
        (("a", "a", "b", "b", "c", "x"), {BY_HAND: False}),
        # It is as it was, whoever did it.
        (("a", "a", "b", "b", "a", "a"), {}),
    ],
)
def test_who_has_changed_a_file(contents: Tuple[Optional[str], ...], found: Dict[str, bool]) -> None:
    assert texts(*contents) == found


def test_an_edit_is_lost_only_by_a_run() -> None:
    edited, packaged = at(file("mine", is_edited=True)), at(file("packaged"))
    by_run = differences(edited, packaged, [Step(edited, packaged)])
    by_hand = differences(edited, packaged, [Step(edited, edited)])
    assert lost_edits(by_run) == by_run != () and lost_edits(by_hand) == ()
    assert lost_edits(differences(packaged, {}, [Step(packaged, {})])) == ()


def test_a_removed_configuration_file_is_an_edit_and_equal_to_none() -> None:
    assert differences(at(ABSENT), {}) == () == differences({}, at(ABSENT))
    (found,) = differences(at(ABSENT), at(file("back")), [Step(at(ABSENT), at(file("back")))])
    assert found.kind == "new" and lost_edits([found])


def test_caches_and_copies_say_nothing() -> None:
    for path in ("/etc/ld.so.cache", "/etc/passwd-", "/etc/app.conf.dpkg-dist", "/etc/app.conf.rpmsave"):
        assert differences({}, at(file("x", path))) == ()


def test_a_mode_an_owner_and_the_target_of_a_link_count() -> None:
    link = EtcFile(PATH, "link", "", "0:0", "one")
    for old, new in (
        (file("a"), file("a")._replace(mode="600")),
        (file("a"), file("a")._replace(owner="1:1")),
        (link, link._replace(content="two")),
        (file("one"), link),
    ):
        assert changed_paths(at(old), at(new)) == {PATH}


def test_lines_hold_any_path() -> None:
    files = [file("a", "/etc/tab\tline\nend"), file("b", "/etc/\udcff"), ABSENT]
    lines = [one.line() for one in files]
    assert listing_of(lines) == {one.path: one for one in files}
    assert all(line.isascii() and "\n" not in line for line in lines)
