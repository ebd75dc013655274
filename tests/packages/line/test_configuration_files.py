"""Configuration files on the way there and back."""

import pytest

from os_update_agent.testing.repository import Deb
from packages.node import VERSIONS_ONE, Node

EDITED = "a=mine\n"


def app(version: str, **files: str) -> Deb:
    named = {f"etc/{name}.conf": text for name, text in files.items()}
    return Deb("app", version, fields={"Depends": "libapp1"}, files=named, conffiles=list(named))


def test_an_edited_file_is_kept_in_both_directions(based: Node) -> None:
    (based.root / "etc/app.conf").write_text(EDITED)
    based.offer(app("2.0-1", app="a=2\n"))
    based.succeed("UPDATE", "v2")
    assert based.text("etc/app.conf") == EDITED
    back = based.succeed("UPDATE", "v1")
    assert based.text("etc/app.conf") == EDITED
    assert based.versions() == VERSIONS_ONE
    assert "repaired" not in back.complaint


def test_an_edited_file_is_replaced_where_that_is_asked_for(based: Node) -> None:
    (based.root / "etc/app.conf").write_text(EDITED)
    based.offer(app("2.0-1", app="a=2\n"))
    based.succeed("UPDATE", "v2", config_files="replace")
    assert based.text("etc/app.conf") == "a=2\n"
    assert based.text("etc/app.conf.dpkg-old") == EDITED
    # A way back compares no configuration file, though the packages that changed are compared.
    (based.root / "etc/app.conf").unlink()
    back = based.succeed("UPDATE", "v1")
    assert "repaired" not in back.complaint


@pytest.mark.parametrize(("policy", "text"), [("keep", EDITED), ("replace", "a=2\n")])
def test_the_option_wins_over_the_options_for_dpkg_in_the_nodes_apt_conf(based: Node, policy: str, text: str) -> None:
    others = "--force-confnew" if policy == "keep" else "--force-confdef --force-confold"
    settings = "".join(f'"{one}";' for one in others.split())
    (based.root / "etc/apt/apt.conf.d/10-own").write_text(f"DPkg::Options {{{settings}}};\n")
    (based.root / "etc/app.conf").write_text(EDITED)
    based.offer(app("2.0-1", app="a=2\n"))
    based.succeed("UPDATE", "v2", config_files=policy)
    assert based.text("etc/app.conf") == text


@pytest.mark.parametrize("policy", ["keep", "replace"])
def test_an_untouched_file_follows_its_package(based: Node, policy: str) -> None:
    based.offer(app("2.0-1", app="a=2\n"))
    based.succeed("UPDATE", "v2", config_files=policy)
    assert based.text("etc/app.conf") == "a=2\n"
    based.succeed("UPDATE", "v1", config_files=policy)
    assert based.text("etc/app.conf") == "a=1\n"


def test_a_file_that_an_administrator_deleted_stays_deleted(based: Node) -> None:
    (based.root / "etc/app.conf").unlink()
    based.offer(app("2.0-1", app="a=2\n"))
    based.succeed("UPDATE", "v2")
    assert not (based.root / "etc/app.conf").exists()
    based.succeed("UPDATE", "v1")
    assert not (based.root / "etc/app.conf").exists()


def test_a_new_file_comes_and_the_way_back_is_still_exact(based: Node) -> None:
    one = based.packages()
    based.offer(app("2.0-1", app="a=2\n", more="new\n"))
    based.succeed("UPDATE", "v2")
    assert based.text("etc/more.conf") == "new\n"
    based.succeed("UPDATE", "v1")
    assert based.packages() == one
    assert based.text("etc/app.conf") == "a=1\n"


def test_configuration_that_a_removed_package_leaves_behind_is_in_the_state(based: Node) -> None:
    """A package with configuration goes in the update (a row "config-files"), and comes back whole."""
    # Since apt 3.2 an update removes no package that was installed by hand.
    based.hand.mark("auto", "app")
    one = based.packages()
    based.offer(
        Deb("newapp", "2.0-1", fields={"Conflicts": "app", "Replaces": "app"}),
        Deb("tool", "2.0-1", fields={"Depends": "newapp"}),
    )
    there = based.succeed("UPDATE", "v2")
    assert there.changes["app"] == ("1.0-1", None)
    two = based.packages()
    assert any(row.startswith("app:") and row.endswith("config-files") for row in based.apt.rows())
    based.succeed("UPDATE", "v1")
    assert based.packages() == one
    based.succeed("UPDATE", "v2")
    assert based.packages() == two


def test_a_package_that_asks_gets_no_answer_and_does_not_hang(based: Node) -> None:
    asks = (
        'if read -r answer; then echo "somebody answered: $answer"; exit 4; fi; echo "nobody there" >'
        ' "$DPKG_ROOT/asked"'
    )
    based.offer(Deb("tool", "2.0-1", scripts={"postinst": asks}))
    based.succeed("UPDATE", "v2")
    assert based.text("asked") == "nobody there\n"
