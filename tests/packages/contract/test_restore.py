"""The large way back: thirty packages, of every kind of change that there is, exact in every package manager."""

from pathlib import Path
from typing import Iterator, Tuple

import pytest

from packages.node import HANDS, Node, Template
from packages.scene import INSTALLED, ONE, TWO, Pkg, version_file

MANY = tuple(f"many{number:02}" for number in range(1, 23))
NOWHERE = "http://127.0.0.1:9/"


def release(version: str) -> Tuple[Pkg, ...]:
    """Packages that only get a new version; every third one has a library of its own that comes with it."""
    needs = {name: (f"lib{name} >= {version}",) for name in MANY[::6]}
    return tuple(
        pkg
        for name in MANY
        for pkg in (
            Pkg(name, version, requires=needs.get(name, ()), files=version_file(name, version)),
            *([Pkg(f"lib{name}", version, files=version_file(f"lib{name}", version))] if name in needs else []),
        )
    )


@pytest.fixture(scope="session")
def large_template(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Template:
    kernel = HANDS[template.kind].kernel
    one = (*ONE, *release("1.0"), Pkg("dropper", "1.0", requires=("dropped",)), Pkg("dropped", "1.0"), *kernel("6.1.1"))
    two = (*TWO, *release("2.0"), Pkg("dropper", "2.0", obsoletes=("dropped",)), *kernel("6.1.2"))
    directory = tmp_path_factory.mktemp(f"large-{template.kind}")
    return Template.made_in(
        directory, template.kind, one, two, (*INSTALLED, *MANY, "dropper", kernel("6.1.1")[-1].name)
    )


@pytest.fixture
def large(tmp_path: Path, large_template: Template) -> Iterator[Node]:
    with Node(tmp_path / "node", large_template) as node:
        node.succeed("CREATE", "v1")
        yield node


def test_thirty_packages_go_there_and_back_exactly(large: Node) -> None:
    hand = large.hand
    hand.mark("auto", "many01")
    hand.mark("manual", "libapp1")
    one, tree = large.packages(), large.tree()
    large.offer_two()

    there = large.succeed("UPDATE", "v2")
    two = large.packages()
    assert there.body["changes"]["count"] >= 30
    assert there.changes["oldname"] == ("1.0-1", None) and there.changes["newname"] == (None, "2.0-1")
    assert there.changes["dropped"] == ("1.0-1", None) and there.changes["extra"] == (None, "2.0-1")
    assert there.changes["epochy"] == ("9.0-1", "1:1.0-1")
    assert sum(name.startswith(("kernel", "linux-image-")) for name, _ in hand.rows()) == 2
    assert "many01" in hand.auto() and "libapp1" not in hand.auto() and "extra" in hand.auto()
    assert hand.faults() == ""

    # From here on nobody has any package but the node itself.
    hand.use(NOWHERE)
    back = large.succeed("UPDATE", "v1")
    assert large.packages() == one
    assert large.tree() == tree
    assert "repaired" not in back.complaint
    assert back.body["state_digest"] == large.recorded("v1").digest
    assert sum(name.startswith(("kernel", "linux-image-")) for name, _ in hand.rows()) == 1
    assert large.text("usr/share/many07") == "1.0\n"
    assert hand.faults() == ""
    if hand.suffix == "rpm":
        assert "os-update-agent v1" in hand.history()

    again = large.succeed("UPDATE", "v2")
    assert large.packages() == two
    assert again.body["state_digest"] == there.body["state_digest"]
    assert hand.faults() == ""


@pytest.mark.parametrize("template", ["dnf4", "dnf5"], indirect=True, scope="session")
def test_no_kernel_goes_because_there_are_too_many(based: Node) -> None:
    """dnf would erase the oldest one over its installonly_limit in passing; apt has no such limit."""
    conf = based.root / "etc/dnf/dnf.conf"
    conf.write_text(conf.read_text(encoding="utf-8") + "installonly_limit=2\n", encoding="utf-8")
    kernels = [based.hand.kernel(f"6.1.{number}") for number in (1, 2, 3)]
    based.offer(*kernels[0])
    based.install_by_hand(kernels[0][-1].name)
    one = based.packages()
    for number in (1, 2):
        based.offer(*kernels[number])
        based.succeed("UPDATE", f"v{number + 1}")
    assert sum(name == "kernel" for name, _ in based.hand.rows()) == 3
    based.succeed("UPDATE", "v1")
    assert based.packages() == one


def test_an_edited_configuration_file_stays_both_ways(based: Node) -> None:
    one = based.packages()
    conf = based.root / "etc/app.conf"
    conf.write_text("mine\n", encoding="utf-8")
    based.offer_two()
    based.succeed("UPDATE", "v2")
    assert conf.read_text(encoding="utf-8") == "mine\n"
    based.succeed("UPDATE", "v1")
    assert conf.read_text(encoding="utf-8") == "mine\n"
    assert based.packages() == one


@pytest.mark.parametrize("template", ["dnf4", "dnf5"], indirect=True, scope="session")
def test_the_same_version_in_other_bytes_is_another_state(based: Node) -> None:
    """A rebuild under the same version: rpm knows the difference, and it is restored; dpkg keeps no digest of a
    package.
    """
    one = based.packages()
    based.offer(Pkg("libapp1", "1.5"))
    based.succeed("UPDATE", "v2")
    based.hand.build([Pkg("tool", "1.0", files=version_file("tool", "rebuilt"))], based.directory / "elsewhere")
    (path,) = (based.directory / "elsewhere").iterdir()
    based.dnf.rpm("-U", "--replacepkgs", str(path)).check_returncode()
    assert based.text("usr/share/tool") == "rebuilt\n"
    based.succeed("UPDATE", "v1")
    assert based.packages() == one
    assert based.text("usr/share/tool") == "1\n"
    assert based.hand.faults() == ""


def test_an_edited_configuration_file_comes_back_although_the_update_dropped_it(based: Node) -> None:
    """dpkg leaves it where it is, rpm renames it."""
    conf = based.root / "etc/app.conf"
    conf.write_text("a=mine\n")
    conf.chmod(0o640)
    tree = based.tree()
    based.offer(Pkg("app", "2.0", requires=("libapp1 >= 1.0",), files=version_file("app", "2")))
    based.succeed("UPDATE", "v2")
    assert conf.exists() == (based.hand.backend == "apt")
    based.succeed("UPDATE", "v1")
    assert conf.read_text() == "a=mine\n" and conf.stat().st_mode & 0o777 == 0o640
    left = {place: looks for place, looks in based.tree().items() if ".rpm" not in place and ".dpkg" not in place}
    assert left == tree
