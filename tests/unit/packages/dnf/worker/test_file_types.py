"""Paths that rpm cannot install, or installs elsewhere."""

from typing import Optional

from os_update_agent.packages.dnf.worker.file_types import DIRECTORY, LINK_TO_DIRECTORY, Listed, astray, misfits

FILE, LINK = 0o100644, 0o120777


def directory(path: str) -> Optional[str]:
    return DIRECTORY


def link(path: str) -> Optional[str]:
    return LINK_TO_DIRECTORY


def test_files_below_a_directory_that_becomes_a_link_are_named() -> None:
    old = Listed("old-1", {"/usr/share/x/f": FILE}, has_pretrans=False, scripts="")
    new = Listed("new-2", {"/usr/share/x": LINK}, has_pretrans=False, scripts="")
    (said,) = astray([old], [new], directory, link)
    assert said.startswith("old-1 has files below /usr/share/x,") and "new-2" in said
    # /lib, say: it was a link before as well.
    assert astray([old], [new], link, link) == []


def test_any_script_before_the_files_may_make_room() -> None:
    for has_pretrans, has_pre in ((False, False), (True, False), (False, True)):
        package = Listed("new-2", {"/usr/share/x": LINK}, has_pretrans, "", has_pre)
        (misfit,) = misfits([package], directory)
        assert misfit.is_open is (has_pretrans or has_pre)
