"""What a repair has changed, from what was installed before and after."""

from os_update_agent.model.packages import Package, PackageState
from os_update_agent.packages.interruption import Settled, Unfinished, halves, settled
from os_update_agent.text.phrases import repaired


def package(name: str, version: str, arch: str = "x86_64") -> Package:
    return Package(name, arch, version)


def state(*packages: Package) -> PackageState:
    return PackageState("dnf", "x86_64", packages, frozenset({"kernel"}))


def test_a_repair_names_what_came_again_what_lost_its_old_half_and_what_went() -> None:
    old, new, again, gone, other = (
        package("tool", "1"),
        package("tool", "2"),
        package("again", "1"),
        package("gone", "1"),
        package("other", "1"),
    )
    before = frozenset({(p.identity, str(n)) for n, p in enumerate((old, new, again, gone, other))})
    after = frozenset({(new.identity, "1"), (again.identity, "9"), (other.identity, "4")})
    done = settled(["a complaint"], before, after, state(new, again, other))
    assert done == Settled(("a complaint",), (new, again), (gone,))
    assert done.names == ("again", "gone", "tool")
    assert repaired(done.present, done.removed) == "tool, again; removed: gone"


def test_two_architectures_are_told_apart() -> None:
    pair = package("both", "2"), package("both", "2", "i686")
    assert repaired((*pair, package("tool", "1")), ()) == "both:x86_64, both:i686, tool"
    assert repaired((), pair) == "removed: both:x86_64, both:i686"


def test_only_a_name_in_several_architectures_has_halves() -> None:
    half, alone, kernel = package("both", "2"), package("tool", "2"), package("kernel", "2")
    there = state(package("both", "1"), package("both", "1", "i686"), package("tool", "1"), package("kernel", "1"))
    assert halves(Unfinished((), (half, alone, kernel)), there) == (half,)
    assert halves(None, there) == ()
