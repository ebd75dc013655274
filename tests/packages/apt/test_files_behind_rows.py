"""Files that are not there behind rows of dpkg that are right: what a way back loses with a package that has taken a
file over, and what it repairs.
"""

import os
from itertools import product
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

import pytest

from os_update_agent.testing.repository import Deb
from packages.node import Node, Template
from packages.scene import Pkg

RELATIONS = ("Breaks", "Conflicts", "Provides")


class Shape(NamedTuple):
    """How the package that takes a file over is related to the one that gives it.

    Replaces is there in each: without it dpkg takes no file of an installed package.
    """

    number: int
    is_installed: bool
    relations: Tuple[str, ...]
    is_versioned: bool
    is_needed: bool

    @property
    def giver(self) -> str:
        return f"giver{self.number:02}"

    @property
    def taker(self) -> str:
        return f"taker{self.number:02}"

    @property
    def path(self) -> str:
        return f"usr/share/moved/{self.number:02}"

    @property
    def content(self) -> Dict[str, Dict[str, str]]:
        """The file that moves. In every fifth shape it is a link: dpkg's database has no checksum of links."""
        return {"links": {self.path: "moved"}} if self.number % 5 == 4 else {"files": {self.path: "moved"}}

    def deb(self, name: str, version: str, fields: Dict[str, str], more: Dict[str, str]) -> Deb:
        """A package with what moves."""
        files = {**self.content.get("files", {}), **more}
        return Deb(name, version, fields=fields, files=files, links=self.content.get("links", {}))

    def old(self) -> List[Deb]:
        there = [Deb(self.taker, "1.0", files={f"usr/share/{self.taker}": "1\n"})] if self.is_installed else []
        needs = {"Depends": f"{self.taker} (= 1.0)"} if self.is_installed and self.is_needed else {}
        # With its only file a package disappears: dpkg drops its row.
        more = {f"usr/share/{self.giver}": "1.0\n"} if self.number % 3 else {}
        return [self.deb(self.giver, "1.0", needs, more), *there]

    def new(self) -> List[Deb]:
        version = " (<< 1.1)" if self.is_versioned else ""
        fields = {name: f"{self.giver}{version}" for name in ("Replaces", *self.relations) if name != "Provides"}
        if "Provides" in self.relations:
            fields["Provides"] = f"{self.giver} (= 1.1)" if self.is_versioned else self.giver
        needs = {"Depends": f"{self.taker} (= 1.1)"} if self.is_needed else {"Recommends": self.taker}
        return [
            Deb(self.giver, "1.1", fields=needs, files={f"usr/share/{self.giver}": "1.1\n"}),
            self.deb(self.taker, "1.1", fields, {}),
        ]


def subsets(names: Sequence[str]) -> List[Tuple[str, ...]]:
    chosen = product((False, True), repeat=len(names))
    return [tuple(name for name, is_in in zip(names, some) if is_in) for some in chosen]


SHAPES = [
    Shape(number, *choice)
    for number, choice in enumerate(product((False, True), subsets(RELATIONS), (False, True), (False, True)))
]
WHOLE = {shape.path: "moved" for shape in SHAPES}


def moved(node: Node) -> Dict[str, str]:
    """The moved files that are there, with what they hold."""
    places = {path: node.root / path for path in WHOLE}
    return {
        path: os.readlink(place) if place.is_symlink() else place.read_text(encoding="utf-8")
        for path, place in places.items()
        if place.is_symlink() or place.exists()
    }


@pytest.fixture(scope="session")
def moving_template(tmp_path_factory: pytest.TempPathFactory, apt_template: Template) -> Template:
    directory = tmp_path_factory.mktemp("moving") / "node"
    old = [deb for shape in SHAPES for deb in shape.old()]
    with Node(directory, apt_template) as node:
        node.offer(*old)
        node.install_by_hand(*(deb.name for deb in old))
        node.succeed("CREATE", "v1")
        node.offer(*(deb for shape in SHAPES for deb in shape.new()))
    return apt_template.advanced(directory)


@pytest.fixture
def moving(tmp_path: Path, moving_template: Template) -> Iterator[Node]:
    """A node with the givers, to which the takers are offered."""
    with Node(tmp_path / "node", moving_template) as node:
        yield node


def test_there_are_sixty_four_shapes() -> None:
    assert len(SHAPES) == len({shape[1:] for shape in SHAPES}) == 64


def test_a_way_back_brings_every_file_that_another_package_has_taken_over(moving: Node) -> None:
    one = moving.packages()
    done = moving.succeed("UPDATE", "v2")
    assert len(done.changes) >= 64
    back = moving.succeed("UPDATE", "v1")
    assert moving.packages() == one
    assert moved(moving) == WHOLE
    assert "files were repaired" in back.complaint
    assert moving.hand.faults() == ""


def test_an_undo_brings_every_file_that_another_package_has_taken_over(moving: Node) -> None:
    one = moving.packages()
    moving.offer(Deb("tool", "2.0-1", scripts={"postinst": "exit 1"}))
    failed = moving.fail("UPDATE", "v2")
    assert moving.packages() == one
    assert moved(moving) == WHOLE
    assert "files were repaired" in failed.complaint


def test_a_package_whose_files_another_one_has_all_replaced_is_a_removal_that_comes_back(node: Node) -> None:
    node.offer(Deb("fonts-old", "1.0", files={"usr/share/moved/font": "old\n"}))
    node.install_by_hand("fonts-old")
    node.succeed("CREATE", "v1")
    one = node.packages()
    taker = Deb("tool", "2.0-1", fields={"Replaces": "fonts-old"}, files={"usr/share/moved/font": "new\n"})
    node.offer(taker, Deb("epochy", "10.0-1"))
    done = node.succeed("UPDATE", "v2")
    assert done.changes["fonts-old"] == ("1.0", None)
    assert done.changes["tool"] == ("1.0-1", "2.0-1") and done.changes["epochy"] == ("9.0-1", "10.0-1")
    assert node.text("usr/share/moved/font") == "new\n"
    node.succeed("UPDATE", "v1")
    assert node.packages() == one
    assert node.text("usr/share/moved/font") == "old\n"
    again = node.succeed("UPDATE", "v2")
    assert again.body["state_digest"] == done.body["state_digest"]


def test_an_update_that_is_cut_off_after_a_package_has_disappeared_goes_on(node: Node) -> None:
    node.offer(Deb("fonts-old", "1.0", files={"usr/share/moved/font": "old\n"}))
    node.install_by_hand("fonts-old")
    node.succeed("CREATE", "v1")
    taker = Deb("tool", "2.0-1", fields={"Replaces": "fonts-old"}, files={"usr/share/moved/font": "new\n"})
    node.hand.add(taker, Pkg("epochy", "10.0", waits=True))
    node.hand.publish()
    # The repository drops the file of the package that is going to disappear.
    node.withdraw("1.0", "fonts-old")
    deployment = node.cut_off("UPDATE", "v2")
    done = node.start_with(deployment).wait()
    assert done.status == 0, done.complaint
    assert done.changes["fonts-old"] == ("1.0", None) and done.changes["tool"] == ("1.0-1", "2.0-1")
    assert "1.0 disappeared, and no repository has the file" in done.complaint
    assert done.body["restorable"] is False


def test_a_run_is_not_blamed_for_a_file_that_was_missing_before(node: Node) -> None:
    node.offer(Deb("tool", "1.5", files={"usr/share/tool/data": "1\n", "usr/share/tool/more": "1\n"}))
    node.succeed("CREATE", "v0")
    node.succeed("UPDATE", "v1")
    node.offer(Deb("epochy", "10.0-1"))
    node.succeed("UPDATE", "v2")
    (node.root / "usr/share/tool/data").unlink()
    back = node.succeed("UPDATE", "v1")
    assert "repaired" not in back.complaint
    assert not (node.root / "usr/share/tool/data").exists()


def test_what_cannot_be_repaired_is_a_failure_that_names_package_and_file(node: Node) -> None:
    """The package that gives the file removes it again itself."""
    moved = "usr/share/moved/file"
    removes = f'if [ "$1" = configure ]; then rm -f "$DPKG_ROOT/{moved}"; fi'
    old = Deb("tool", "1.5", files={moved: "1\n", "usr/share/tool/data": "1\n"}, scripts={"postinst": removes})
    node.offer(old)
    node.succeed("CREATE", "v0")
    node.succeed("UPDATE", "v1")
    node.offer(Deb("tool", "2.0-1", files={"usr/share/tool/data": "2\n"}))
    node.succeed("UPDATE", "v2")
    failed = node.fail("UPDATE", "v1")
    assert f"tool (missing: /{moved})" in failed.complaint
    assert node.versions()["tool"] == "2.0-1"

    # Kept as it is, the rows are those of the value, and it is no success when the value comes again.
    for _ in range(2):
        failed = node.fail("UPDATE", "v1", on_failure="keep")
        assert f"tool (missing: /{moved})" in failed.complaint
        assert node.versions()["tool"] == "1.5"
