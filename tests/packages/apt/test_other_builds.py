"""Packages of one name, version and architecture with other bytes: a site's own build, or a repository that has built a
package again without a new version.
"""

import hashlib
from typing import Dict, Optional

import pytest

from os_update_agent.testing.repository import Deb, build
from packages.node import Node


def web(text: str, version: str = "1.0-1", needs: Optional[str] = None) -> Deb:
    fields: Dict[str, str] = {"Depends": needs} if needs else {}
    return Deb("web", version, files={"usr/share/web": f"{text}\n"}, fields=fields)


DEP = Deb("dep", "1.0-1")


def install_file(node: Node, deb: Deb) -> None:
    """Install a package file by hand, as an operator installs a build of the site."""
    node.apt.apt("install", "--reinstall", "--allow-downgrades", str(build(deb, node.directory / "site")))


@pytest.mark.parametrize("archive", ["best-effort", "required"])
@pytest.mark.parametrize("needs", [None, "tool"])
def test_a_sites_own_build_is_kept_although_the_repository_has_the_same_version(
    node: Node, archive: str, needs: Optional[str]
) -> None:
    node.offer(web("repository"))
    install_file(node, web("site", needs=needs))
    # What the repository's build needs, nobody has.
    node.offer(web("repository", needs="nowhere"), web("two", "2.0-1"))
    node.succeed("CREATE", "v1")
    one = node.packages()
    done = node.succeed("UPDATE", "v2", archive=archive)
    assert done.changes["web"] == ("1.0-1", "2.0-1") and node.text("usr/share/web") == "two\n"
    back = node.succeed("UPDATE", "v1")
    assert node.text("usr/share/web") == "site\n" and node.packages() == one
    assert back.body["state_digest"] == node.recorded("v1").digest
    assert node.kept()["web 1.0-1"].origin == "repack"


def test_a_changed_build_of_the_same_version_is_an_update_that_can_be_undone(node: Node) -> None:
    node.offer(web("first"), DEP)
    node.install_by_hand("web")
    node.succeed("CREATE", "v1")
    one = node.packages()
    node.offer(web("second", needs="dep"))
    done = node.succeed("UPDATE", "v2")
    assert done.changes == {"web": ("1.0-1", "1.0-1"), "dep": (None, "1.0-1")}
    assert "web: 1.0-1 -> another build of this version" in done.told
    assert node.text("usr/share/web") == "second\n"
    back = node.succeed("UPDATE", "v1")
    assert back.changes == {"web": ("1.0-1", "1.0-1"), "dep": ("1.0-1", None)}
    assert node.text("usr/share/web") == "first\n" and node.packages() == one
    # Both builds are in the archive now.
    forth = node.succeed("UPDATE", "v2")
    assert node.text("usr/share/web") == "second\n"
    assert forth.body["state_digest"] == done.body["state_digest"]


def test_a_selected_package_gets_its_changed_build(node: Node) -> None:
    node.offer(web("first"), DEP)
    node.install_by_hand("web")
    node.succeed("CREATE", "v1")
    node.offer(web("second", needs="dep"), Deb("tool", "3.0-1"))
    done = node.succeed("UPDATE", "v2", packages=["web"])
    assert done.changes == {"web": ("1.0-1", "1.0-1"), "dep": (None, "1.0-1")}
    assert node.text("usr/share/web") == "second\n"


def test_several_builds_of_one_version_are_kept_and_each_value_gets_its_own(node: Node) -> None:
    node.offer(web("first"))
    node.install_by_hand("web")
    node.succeed("CREATE", "v1")
    node.offer(web("second", needs="tool"))
    node.succeed("UPDATE", "v2")
    node.offer(web("third", needs="app"))
    node.succeed("UPDATE", "v3")
    node.offer(web("last", "2.0-1"))
    node.withdraw("1.0-1", "web")
    node.succeed("UPDATE", "v4")
    for value, text in (("v3", "third"), ("v2", "second"), ("v1", "first")):
        done = node.succeed("UPDATE", value)
        assert node.text("usr/share/web") == f"{text}\n"
        assert done.body["state_digest"] == node.recorded(value).digest


def test_a_build_that_an_operator_has_installed_by_hand_goes_on_the_way_back(node: Node) -> None:
    node.offer(web("first"), web("second", "2.0-1"))
    install_file(node, web("first"))
    node.succeed("CREATE", "v1")
    node.succeed("UPDATE", "v2")
    install_file(node, web("operator"))
    back = node.succeed("UPDATE", "v1")
    assert node.text("usr/share/web") == "first\n"
    assert back.body["state_digest"] == node.recorded("v1").digest


def test_a_failed_update_puts_the_sites_own_build_back(node: Node) -> None:
    node.offer(web("repository"))
    install_file(node, web("site"))
    node.succeed("CREATE", "v1")
    one = node.packages()
    node.offer(web("two", "2.0-1"))
    node.step("health.d", "exit 1")
    node.fail("UPDATE", "v2")
    assert node.text("usr/share/web") == "site\n" and node.packages() == one


def test_an_index_that_does_not_describe_its_files_does_not_stop_an_update(node: Node) -> None:
    """Some programs that make repositories write other fields into the index than the package file has."""
    node.offer(web("first"))
    node.install_by_hand("web")
    node.succeed("CREATE", "v1")
    node.offer(Deb("tool", "3.0-1"))
    announce_another_size(node, "web")
    done = node.succeed("UPDATE", "v2")
    assert done.changes == {"tool": ("1.0-1", "3.0-1")}
    assert "web:amd64 1.0-1: the repository announces another build" in done.complaint
    assert node.text("usr/share/web") == "first\n"


def announce_another_size(node: Node, name: str) -> None:
    index, release = (node.repository.directory / name for name in ("Packages", "Release"))
    old = index.read_text(encoding="utf-8")
    before, found, after = old.partition(f"Package: {name}\n")
    assert found
    new = before + found + after.replace("Installed-Size: 10", "Installed-Size: 11", 1)
    index.write_text(new, encoding="utf-8")
    sums = [hashlib.sha256(text.encode()).hexdigest() for text in (old, new)]
    release.write_text(release.read_text(encoding="utf-8").replace(*sums), encoding="utf-8")


def test_a_package_whose_md5sums_are_gone_still_comes_back(node: Node) -> None:
    (node.root / "var/lib/dpkg/info/tool.md5sums").unlink()
    node.succeed("CREATE", "v1")
    node.offer(Deb("tool", "2.0-1", files={"usr/share/tool": "2\n"}))
    node.succeed("UPDATE", "v2")
    node.succeed("UPDATE", "v1")
    assert node.versions()["tool"] == "1.0-1"
