"""The rehearsal is the transaction: what apt refuses under -y it refuses before the node leaves its cluster."""

import os
from pathlib import Path
from typing import Dict

import pytest

from os_update_agent.config.policy import Policy
from os_update_agent.model.packages import Transaction
from os_update_agent.testing.repository import Deb
from packages.node import Node


@pytest.fixture
def drained(based: Node) -> Node:
    """A node whose pre-update.d shows whether it was taken out of service."""
    based.step("pre-update.d/10-drain")
    return based


def settings(node: Node, text: str) -> None:
    (node.root / "etc/apt/apt.conf.d/90own").write_text(text, encoding="utf-8")


def two(node: Node) -> None:
    node.offer(Deb("tool", "2.0-1", fields={"Depends": "helper"}), Deb("helper", "2.0-1"))


def test_an_update_that_apt_would_not_do_is_refused_before_the_node_is_drained(drained: Node) -> None:
    two(drained)
    settings(drained, 'APT::Get::Download-Only "true";\n')
    failed = drained.fail("UPDATE", "v2")
    assert "Download-Only" in failed.complaint and "nothing was changed" in failed.complaint
    assert drained.ran() == []


# None of them keeps a way back from its state.
OWN = (
    *(f'APT::Get::{name} "true";\n' for name in ("Trivial-Only", "Download-Only", "AutomaticRemove", "Purge")),
    *('APT::Get::Remove "false";\n', 'APT::Default-Release "nowhere";\n', 'APT::Ignore-Hold "true";\n'),
    *('APT::Install-Suggests "true";\n', 'APT::Get::ReInstall "true";\n', 'APT::Get::Assume-No "true";\n'),
    'DPkg::Options { "--refuse-downgrade"; };\n',
)


def test_no_setting_of_apt_keeps_a_node_from_its_way_back(drained: Node) -> None:
    """tool is automatic and nobody needs it; the helper has to be removed."""
    drained.hand.mark("auto", "tool")
    drained.offer(Deb("tool", "1.1-1"))
    drained.succeed("UPDATE", "v1.1")
    one = drained.packages()
    two(drained)
    drained.succeed("UPDATE", "v2")
    settings(drained, "".join(OWN))
    drained.succeed("UPDATE", "v1.1")
    assert drained.packages() == one
    assert drained.hand.faults() == ""


def test_a_downgrade_that_a_pin_asks_for_is_held_back_and_the_rest_is_updated(drained: Node) -> None:
    drained.offer(Deb("tool", "0.9-1"), Deb("libapp1", "1.5-1"))
    pin = "Package: tool\nPin: version 0.9-1\nPin-Priority: 1001\n"
    path = drained.root / "etc/apt/preferences.d/own"
    path.write_text(pin, encoding="utf-8")
    done = drained.succeed("UPDATE", "v2")
    assert set(done.changes) == {"libapp1"}
    reason = f"would downgrade tool from 1.0-1 to 0.9-1 (pinned: priority 1001 in {path})"
    assert done.held_back["tool"] == reason


def test_a_downgrade_that_the_node_allows_is_made_and_undone(drained: Node) -> None:
    one = drained.packages()
    drained.offer(Deb("tool", "0.9-1"))
    pin = "Package: tool\nPin: version 0.9-1\nPin-Priority: 1001\n"
    (drained.root / "etc/apt/preferences.d/own").write_text(pin, encoding="utf-8")
    settings(drained, 'APT::Get::allow-downgrades "true";\n')
    assert drained.succeed("UPDATE", "v2").changes == {"tool": ("1.0-1", "0.9-1")}
    drained.succeed("UPDATE", "v1")
    assert drained.packages() == one


def test_a_held_package_is_held_back_although_apt_ignores_holds_while_it_plans(drained: Node) -> None:
    drained.offer(Deb("heldpkg", "2.0-1"), Deb("libapp1", "1.5-1"))
    settings(drained, 'APT::Ignore-Hold "true";\n')
    done = drained.succeed("UPDATE", "v2")
    assert set(done.changes) == {"libapp1"}
    assert done.held_back["heldpkg"] == "on hold"


def test_a_transaction_removes_no_more_than_the_plan(drained: Node) -> None:
    """app needs its library no longer, and apt is set to remove such packages."""
    one = drained.packages()
    settings(drained, 'APT::Get::AutomaticRemove "true";\n')
    drained.offer(Deb("app", "2.0-1", files={"etc/app.conf": "a=1\n"}, conffiles=["etc/app.conf"]))
    assert drained.succeed("UPDATE", "v2").changes == {"app": ("1.0-1", "2.0-1")}
    drained.succeed("UPDATE", "v1")
    assert drained.packages() == one


def test_an_essential_package_that_would_have_to_go_stays(drained: Node) -> None:
    drained.offer(Deb("base", "1.0-1", fields={"Essential": "yes"}))
    drained.install_by_hand("base")
    drained.offer(Deb("tool", "2.0-1", fields={"Conflicts": "base"}), Deb("libapp1", "1.5-1"))
    done = drained.succeed("UPDATE", "v2")
    assert set(done.changes) == {"libapp1"}
    assert "base" in drained.versions()


def looks(root: Path) -> Dict[str, object]:
    return {
        str(path.relative_to(root)): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in root.rglob("*")
        if not path.is_symlink()
    }


def test_a_rehearsal_runs_no_hook_and_changes_nothing(drained: Node) -> None:
    """It waits for no lock either: others may be at work just then."""
    two(drained)
    run = drained.directory / "hooks"
    hooks = ("DPkg::Pre-Invoke", "DPkg::Post-Invoke", "DPkg::Pre-Install-Pkgs", "APT::Install::Pre-Invoke")
    settings(drained, "".join(f'{hook} {{ "echo {hook} >>{run}"; }};\n' for hook in hooks))
    site = drained.site()
    backend = site.backend(Policy("v2", ""))
    state = backend.capture()
    debs = sorted(drained.repository.directory.glob("*_2.0-1_*.deb"))
    gone = next(package for package in state.packages if package.name == "useold")
    before = looks(drained.root)
    effect = backend.effect(Transaction(remove=(gone,), files=tuple(map(str, debs))), forced=False)
    assert effect == {(("tool", ""), "2.0-1"), (("helper", ""), "2.0-1"), (("useold", ""), None)}
    assert looks(drained.root) == before
    assert not run.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
@pytest.mark.parametrize("value", ["v2", "v1"])
def test_a_read_only_file_system_is_named_before_the_node_is_drained(drained: Node, value: str) -> None:
    files = {"usr/share/tool": "2\n"}
    drained.offer(Deb("tool", "2.0-1", files=files, has_sums=True))
    if value == "v1":
        drained.succeed("UPDATE", "v2")
        drained.ran()
    # A node whose whole /usr is read-only is refused before that.
    share = drained.root / "usr/share"
    share.mkdir(parents=True, exist_ok=True)
    script = f'mount --bind {share} {share} && mount -o remount,bind,ro {share} && exec "$@"'
    drained.wrapper = ("unshare", "--mount", "sh", "-c", script, "sh")
    failed = drained.fail("UPDATE", value)
    assert "has to write to /usr/share, which is mounted read-only" in failed.complaint
    assert "nothing was changed" in failed.complaint
    assert drained.ran() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_hook_of_apt_may_mount_a_file_system_writable(drained: Node) -> None:
    drained.offer(Deb("tool", "2.0-1", files={"usr/share/tool": "2\n"}, has_sums=True))
    usr = drained.root / "usr"
    settings(drained, f'DPkg::Pre-Invoke {{ "mount -o remount,bind,rw {usr}"; }};\n')
    script = f'mount --bind {usr} {usr} && mount -o remount,bind,ro {usr} && exec "$@"'
    drained.wrapper = ("unshare", "--mount", "sh", "-c", script, "sh")
    drained.succeed("UPDATE", "v2")
    assert drained.text("usr/share/tool") == "2\n"
