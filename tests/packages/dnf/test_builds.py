"""Two builds of one version, in packages of each format that this machine's rpm can build: rpm 6 builds format 6, too,
which has no SIGMD5.
"""

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Iterator, Sequence

import pytest

from os_update_agent.model.builds import SIGMD5
from packages import sid
from packages.hand_rpm import as_rpm
from packages.node import ONE, Node, Pkg, Template
from packages.scene import version_file

REBUILT = Pkg("tool", "1.0", files=version_file("tool", "rebuilt"))


def formats() -> Sequence[str]:
    version = subprocess.run(["rpm", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[-1]
    return ("4", "6") if int(version.partition(".")[0]) >= 6 else ("4",)


@pytest.fixture(scope="module", params=[f"{kind}-{of_format}" for kind in ("dnf4", "dnf5") for of_format in formats()])
def of_format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def template(of_format: str, tmp_path_factory: pytest.TempPathFactory) -> Template:
    kind, _, number = of_format.partition("-")
    if kind == "dnf5":
        sid.needed()
    one = [replace(as_rpm(pkg), format=number) for pkg in ONE]
    made = Template.made_in(tmp_path_factory.mktemp("format"), kind, one=one)
    return made.recorded(tmp_path_factory.mktemp("based") / "node")


@pytest.fixture
def based(tmp_path: Path, template: Template) -> Iterator[Node]:
    """A node that has recorded release one as its baseline "v1"."""
    with Node(tmp_path / "node", template) as node:
        yield node


def rebuild(based: Node, of_format: str) -> None:
    """Install other bytes under the same version, past the agent."""
    rpm = replace(as_rpm(REBUILT), format=of_format.partition("-")[2])
    based.hand.build([rpm], based.directory / "elsewhere")
    based.dnf.rpm("-U", "--replacepkgs", str(based.directory / "elsewhere" / rpm.file)).check_returncode()
    assert based.text("usr/share/tool") == "rebuilt\n"


def recorded_by_an_older_agent(based: Node) -> None:
    """Record "v0" as an agent did that knew rpm's SIGMD5 alone: the state of "v1", and the kept files."""

    def old(digest: str) -> str:
        return dict(part.split(":") for part in digest.split(",") if part).get(SIGMD5, "")

    with based.ledger() as ledger:
        record = based.history().record("v1")
        assert record is not None and record.state is not None
        state = ledger.state(record.state)
        rows = tuple(package._replace(digest=old(package.digest)) for package in state.packages)
        number = ledger.put_state(replace(state, packages=tuple(sorted(rows))))
        for value in ("v0", "v1"):
            ledger.record_reached(based.history().key, value, number, None, 1.0)
        kept = ledger.archive_entries()
        ledger.replace_archive_entries(kept, [entry._replace(digest=old(entry.digest)) for entry in kept])


def test_another_build_of_a_version_is_replaced_by_the_recorded_one(based: Node, of_format: str) -> None:
    one = based.packages()
    based.offer(Pkg("libapp1", "1.5"))
    based.succeed("UPDATE", "v2")
    rebuild(based, of_format)
    done = based.succeed("UPDATE", "v1")
    assert based.packages() == one and based.hand.faults() == ""
    assert based.text("usr/share/tool") == "1\n"
    assert "tool: 1.0-1 -> another build of this version" in done.told and "only the versions" not in done.told


def test_a_state_of_an_older_agent_is_restored_as_far_as_it_knows_the_builds(based: Node, of_format: str) -> None:
    recorded_by_an_older_agent(based)
    based.offer(Pkg("libapp1", "1.5"))
    based.succeed("UPDATE", "v2")
    rebuild(based, of_format)
    done = based.succeed("UPDATE", "v0")
    assert based.versions()["libapp1"] == "1.0-1" and based.hand.faults() == ""
    knows = of_format.endswith("-4")
    assert based.text("usr/share/tool") == ("1\n" if knows else "rebuilt\n")
    assert ("only the versions were compared" in done.told) != knows
    # It stands there: what was recorded of it is no drift, and nothing is left to do.
    assert "nothing to do for 'v0'" in based.succeed("UPDATE", "v0").told


def test_a_kept_file_of_another_build_does_not_stand_for_the_recorded_one(based: Node, of_format: str) -> None:
    """The file that was kept has gone, and the repository has the same version in other bytes."""
    based.offer(Pkg("tool", "2.0", files=version_file("tool", "2")))
    based.succeed("UPDATE", "v2")
    (kept,) = based.archive.glob("tool-1.0-*")
    kept.unlink()
    based.hand.remove_from_repository("tool", "1.0-1")
    based.offer(replace(as_rpm(REBUILT), format=of_format.partition("-")[2]))
    failed = based.fail("UPDATE", "v1")
    assert "is another build than the one that was installed" in failed.complaint
    assert based.text("usr/share/tool") == "2\n"
