"""Settings of the node's apt.conf: those for the output of apt-get change nothing, those that mean something for a plan
or a transaction are honored, or refused by their name.
"""

from typing import Iterator

import pytest

from os_update_agent.model.errors import PackageError
from os_update_agent.model.packages import Transaction
from packages.apt.index import Index
from packages.node import VERSIONS_ONE, VERSIONS_TWO, Node

# They only format, debug, or decide about what the agent gives apt-get to do.
FORMATS = (
    *('quiet "3";', 'quiet "0";', 'APT::Get::Show-Versions "true";', 'APT::Output-Version "99.0";'),
    *('APT::Get::Show-Upgraded "false";', 'APT::Color "true";', 'APT::Get::List-Columns "true";'),
    *('APT::Get::Show-User-Simulation-Note "true";', 'APT::Get::HideAutoRemove "true";'),
    *(
        'Debug::pkgProblemResolver "true";',
        'Debug::pkgDepCache::Marker "true";',
        'Debug::pkgDepCache::AutoInstall "true";',
    ),
    *('Debug::pkgPolicy "true";', 'Debug::pkgAutoRemove "true";', 'Debug::pkgOrderList "true";'),
    *(
        'Debug::Phasing "true";',
        'DPkg::Progress "true";',
        'DPkg::Progress-Fancy "true";',
        'APT::Get::Assume-No "true";',
    ),
)
RESTRAINS = (
    *('APT::Get::Simulate "true";', 'APT::Get::Print-URIs "true";', 'APT::Get::Download "false";'),
    *('APT::Get::Upgrade "false";', 'APT::Get::Only-Upgrade "true";', 'APT::Get::ReInstall "true";'),
    *('APT::Get::Fix-Broken "true";', 'APT::Get::Fix-Missing "true";', 'APT::Get::Trivial-Only "true";'),
    *('APT::Get::AutomaticRemove "true";', 'APT::Get::Mark-Auto "true";', 'APT::Get::Assume-Yes "false";'),
    *('Debug::pkgDPkgPM "true";', 'Debug::NoLocking "true";', 'APT::Install-Suggests "true";'),
    *('APT::Get::AutomaticRemove::Kernels "true";', 'APT::Keep-Downloaded-Packages "true";'),
    *('APT::Get::Arch-Only "true";', 'APT::Get::Host-Architecture "nowhere";', 'APT::Clean-Installed "true";'),
)
# They change how apt and dpkg work, and not what they come to.
WORKS = (
    *('DPkg::ConfigurePending "false";', 'DPkg::NoTriggers "true";', 'DPkg::MaxArgs "1";'),
    *('APT::Immediate-Configure "false";', 'APT::Immediate-Configure-All "true";', 'APT::Cache-Start "4096";'),
    *(
        'Dir::Cache::pkgcache "";',
        'Dir::Cache::srcpkgcache "";',
        'Acquire::Languages "de";',
        'Acquire::Queue-Mode "access";',
    ),
    *('APT::NeverAutoRemove:: "^app$";', 'APT::Never-MarkAuto-Sections:: "misc";', 'APT::Protect-Kernels "false";'),
    *(
        'APT::Get::allow-change-held-packages "true";',
        'APT::Get::allow-downgrades "true";',
        'Acquire::GzipIndexes "true";',
    ),
)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """app gets a new version with a new library and removes an old package; another one is on hold."""
    index = Index(tmp_path_factory.mktemp("settings"))
    index.install("app")
    index.install("old", auto=True)
    index.install("unneeded", auto=True)
    index.install("heldpkg", held=True)
    index.offer("app", Depends="lib", Conflicts="old", Replaces="old", Suggests="more")
    for name in ("heldpkg", "lib", "more"):
        index.offer(name)
    yield index


@pytest.mark.parametrize(
    "setting", ["", *FORMATS, *RESTRAINS, *WORKS, 'APT::Get::Download-Only "true";', 'APT::Get::Purge "true";']
)
def test_a_plan_is_the_same_under_settings_that_mean_nothing_for_it(index: Index, setting: str) -> None:
    index.settings(f"{setting}\n")
    changes, held = index.plan()
    more = {"more": "2"} if "Suggests" in setting else {}
    assert (changes, held) == ({"app": "2", "lib": "2", "old": "", **more}, {"heldpkg": "on hold"})


@pytest.mark.parametrize(
    "setting",
    ['Install-Suggests "true";', 'Install-Recommends "true";', 'Get::Remove "false";', 'Default-Release "now";'],
)
def test_the_settings_of_apt_get_alone_count_as_they_do_for_all_programs(index: Index, setting: str) -> None:
    index.settings(f"APT::{setting}\n")
    plan = index.plan()
    index.settings(f"Binary::apt-get::APT::{setting}\n")
    assert index.plan() == plan


@pytest.mark.parametrize("program", ["", "Binary::apt-get::"])
def test_a_node_whose_apt_only_downloads_is_refused_before_anything_is_done(index: Index, program: str) -> None:
    index.settings(f'{program}APT::Get::Download-Only "true";\n')
    with pytest.raises(PackageError, match="APT::Get::Download-Only is set in apt's configuration"):
        index.apt.effect(Transaction(), forced=False)


def test_the_order_of_the_architectures_does_not_matter(index: Index) -> None:
    index.settings('APT::Architectures { "i386"; "amd64"; };\n')
    assert index.plan(packages=["app"])[0] == {"app": "2", "lib": "2", "old": ""}


@pytest.mark.parametrize("settings", [FORMATS, RESTRAINS, WORKS])
def test_a_node_is_updated_and_restored_under_its_settings(based: Node, settings: "tuple[str, ...]") -> None:
    """All of a group at once: whichever means something would fail the test."""
    (based.root / "etc/apt/apt.conf.d/own").write_text("\n".join(settings), encoding="utf-8")
    one = based.packages()
    based.offer_two()
    based.succeed("UPDATE", "v2")
    assert based.versions() == VERSIONS_TWO
    based.succeed("UPDATE", "v1")
    assert based.versions() == VERSIONS_ONE and based.packages() == one


def test_an_index_that_apt_skips_for_its_weak_checksums_is_no_index_without_updates(based: Node) -> None:
    (based.root / "etc/apt/apt.conf.d/own").write_text('Acquire::ForceHash "md5";\n', encoding="utf-8")
    based.offer_two()
    failed = based.fail("UPDATE", "v2")
    assert "the package index cannot be refreshed: W: Skipping acquire of " in failed.complaint


def test_purging_is_honored(based: Node) -> None:
    (based.root / "etc/apt/apt.conf.d/own").write_text('APT::Get::Purge "true";\n', encoding="utf-8")
    one = based.packages()
    based.offer_two()
    based.succeed("UPDATE", "v2")
    based.succeed("UPDATE", "v1")
    assert based.packages() == one


def test_a_way_back_needs_no_solver_and_no_release(based: Node) -> None:
    """What refuses an update by its name is no reason to stay with one that has failed."""
    one = based.packages()
    based.offer_two()
    based.succeed("UPDATE", "v2")
    settings = 'APT::Solver "nosuch";\nAPT::Default-Release "nowhere";\n'
    (based.root / "etc/apt/apt.conf.d/own").write_text(settings, encoding="utf-8")
    # This one is fetched again.
    for file in based.archive.glob("libapp1_1.0*"):
        file.unlink()
    based.succeed("UPDATE", "v1")
    assert based.packages() == one
    assert based.kept()["libapp1 1.0-1"].origin == "repository"
