"""A package that a way back removes or replaces may complain. It does not decide: its state is left all the same."""

import os
from typing import Dict

import pytest

from os_update_agent.testing.repository import Deb
from packages.hand_apt import WAITS
from packages.node import Node


def update(node: Node, tool: Dict[str, str], helper: Dict[str, str]) -> None:
    """Go to v2, which has a newer tool and, new, its helper, with these scripts."""
    node.offer(
        Deb("tool", "2.0-1", fields={"Depends": "helper"}, files={"usr/share/tool": "2\n"}, scripts=tool),
        Deb("helper", "2.0-1", files={"etc/helper.conf": "a\n"}, conffiles=["etc/helper.conf"], scripts=helper),
    )
    node.succeed("UPDATE", "v2")


SCRIPTS = {
    "prerm and postrm of both": ({"prerm": "exit 1", "postrm": "exit 1"}, {"prerm": "exit 1", "postrm": "exit 1"}),
    "postrm of the removed package": ({}, {"postrm": "exit 1"}),
    "postrm purge": ({}, {"postrm": '[ "$1" != purge ]'}),
    "the unwinding as well": ({"prerm": "exit 1", "postinst": '[ "$1" = configure ]'}, {}),
    "a missing interpreter": ({"prerm": "exec /nowhere/perl"}, {"prerm": "exec /nowhere/perl"}),
}


@pytest.mark.parametrize("tool,helper", SCRIPTS.values(), ids=SCRIPTS)
def test_failing_scripts_of_leaving_packages_stop_no_restore(
    based: Node, tool: Dict[str, str], helper: Dict[str, str]
) -> None:
    one = based.packages()
    update(based, tool, helper)
    back = based.succeed("UPDATE", "v1")
    assert based.packages() == one
    assert based.text("usr/share/tool") == "1\n"
    assert based.hand.faults() == ""
    assert "of a leaving package: " in back.complaint, back.body


ONCE = "[ ! -e {root}/run/once ] || exit 1; touch {root}/run/once"
ALL = ("DPkg::Pre-Invoke", "DPkg::Pre-Install-Pkgs", "APT::Install::Pre-Invoke", "APT::Install::Post-Invoke-Success")
HOOKS = {
    "the program leaves": ('DPkg::Post-Invoke {{ "{root}/usr/bin/hook"; }};', "true"),
    "all fail": ("".join(f'{place} {{{{ "exit 1"; }}}};' for place in ALL), "true"),
    "one fails the second time": (f'DPkg::Pre-Invoke {{{{ "{ONCE}"; }}}};', "exit 1"),
}


@pytest.mark.parametrize("hooks,prerm", HOOKS.values(), ids=HOOKS)
def test_failing_hooks_of_a_leaving_package_stop_no_restore(based: Node, hooks: str, prerm: str) -> None:
    """The new helper brings hooks for apt."""
    one = based.packages()
    conf = "etc/apt/apt.conf.d/60helper"
    files = {conf: hooks.format(root=based.root), "usr/bin/hook": "#!/bin/sh\n"}
    based.offer(
        Deb("tool", "2.0-1", fields={"Depends": "helper"}),
        Deb("helper", "2.0-1", files=files, conffiles=[conf], scripts={"prerm": prerm}),
    )
    based.succeed("UPDATE", "v2")
    based.succeed("UPDATE", "v1")
    assert based.packages() == one
    assert not (based.root / conf).exists()
    assert based.hand.faults() == ""


SETTINGS = {
    "an unknown option": 'DPkg::Options {{ "--bogus"; }};\n',
    "another dpkg": 'Dir::Bin::dpkg "{root}/usr/bin/hook";\n',
    "a syntax error": "this is {{ not\n",
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_no_setting_of_a_leaving_package_stops_a_restore(based: Node, settings: str) -> None:
    one = based.packages()
    conf = "etc/apt/apt.conf.d/60helper"
    files = {conf: settings.format(root=based.root), "usr/bin/hook": '#!/bin/sh\nexec /usr/bin/dpkg "$@"\n'}
    scripts = {"postinst": 'chmod 755 "$DPKG_ROOT/usr/bin/hook"'}
    based.offer(
        Deb("tool", "2.0-1", fields={"Depends": "helper"}),
        Deb("helper", "2.0-1", files=files, conffiles=[conf], scripts=scripts),
    )
    based.deliver("UPDATE", "v2")
    based.succeed("UPDATE", "v1")
    assert based.packages() == one
    assert based.hand.faults() == ""


def test_an_option_that_dpkg_refuses_is_reported_before_the_node_is_drained(based: Node) -> None:
    based.step("pre-update.d/10-drain")
    based.offer(Deb("tool", "2.0-1"))
    (based.root / "etc/apt/apt.conf.d/60own").write_text('DPkg::Options { "--bogus"; };\n', encoding="utf-8")
    failed = based.fail("UPDATE", "v2")
    assert "unknown option --bogus" in failed.complaint and "nothing was changed" in failed.complaint
    assert based.ran() == []


CFG = "etc/dpkg/dpkg.cfg.d/60helper"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
@pytest.mark.parametrize("option,is_removed", [("pre-invoke", True), ("status-logger", True), ("post-invoke", False)])
def test_no_hook_of_dpkg_of_a_leaving_package_stops_a_restore(based: Node, option: str, is_removed: bool) -> None:
    """The new helper brings a hook whose program leaves with it, or fails on its way back to the older helper."""
    directory = (based.root / CFG).parent
    directory.mkdir(parents=True)
    mounts = f'mount --bind {directory} /etc/dpkg/dpkg.cfg.d && exec "$@"'
    based.wrapper = ("unshare", "--mount", "sh", "-c", mounts, "sh")
    if not is_removed:
        based.offer(Deb("helper", "1.0-1", files={CFG: "# old\n"}, conffiles=[CFG]))
        based.install_by_hand("helper")
        based.succeed("UPDATE", "v1")
    one = based.packages()
    hook = f"{based.root}/usr/bin/hook"
    files = {CFG: f"{option}={hook}\n", "usr/bin/hook": "#!/bin/sh\n[ $# = 0 ] || exit 0\ncat >/dev/null\n"}
    scripts = {"postinst": 'chmod 755 "$DPKG_ROOT/usr/bin/hook"'}
    based.offer(
        Deb("tool", "2.0-1", fields={"Depends": "helper"}),
        Deb("helper", "2.0-1", files=files, conffiles=[CFG], scripts=scripts),
    )
    based.succeed("UPDATE", "v2")
    based.succeed("UPDATE", "v1")
    assert based.packages() == one
    # dpkg removes the directory with its last file.
    found = {path.name: path.read_text(encoding="utf-8") for path in directory.glob("*")}
    assert found == ({} if is_removed else {"60helper": "# old\n"})


def with_hook(node: Node, conf: str, version: str = "1.0-1") -> Deb:
    """Return a helper whose hook is a program of its own."""
    files = {conf: f'DPkg::Post-Invoke {{ "{node.root}/usr/bin/hook"; }};\n', "usr/bin/hook": "#!/bin/sh\n"}
    scripts = {"postinst": 'chmod 755 "$DPKG_ROOT/usr/bin/hook"'}
    return Deb("helper", version, files=files, conffiles=[conf], scripts=scripts)


@pytest.mark.parametrize("case", ["removed", "replaced", "kept by the operator"])
def test_a_hook_whose_program_leaves_undoes_no_update(based: Node, case: str) -> None:
    conf = "etc/apt/apt.conf.d/60helper"
    based.offer(with_hook(based, conf))
    based.install_by_hand("helper")
    # Since apt 3.2 an update removes no package that was installed by hand.
    based.hand.mark("auto", "helper")
    based.succeed("UPDATE", "v1.1")
    if case == "replaced":
        based.offer(Deb("helper", "2.0-1", files={conf: "// none\n"}, conffiles=[conf]))
    else:
        based.offer(Deb("tool", "2.0-1", fields={"Conflicts": "helper"}))
    if case.startswith("kept"):
        own = based.root / conf
        own.with_name("70own").write_bytes(own.read_bytes())
        assert "usr/bin/hook" in based.fail("UPDATE", "v2").complaint
        return
    done = based.succeed("UPDATE", "v2")
    assert "the package manager complained: of a leaving package: Problem executing scripts" in done.complaint


def test_a_failing_hook_of_the_operator_does_not_undo_a_restore_that_has_reached_its_state(based: Node) -> None:
    one = based.packages()
    based.offer(Deb("tool", "2.0-1"))
    based.succeed("UPDATE", "v2")
    (based.root / "etc/apt/apt.conf.d/60own").write_text('DPkg::Post-Invoke { "exit 3"; };\n', encoding="utf-8")
    back = based.succeed("UPDATE", "v1")
    assert based.packages() == one
    assert "Problem executing scripts DPkg::Post-Invoke 'exit 3'" in back.complaint


def test_a_hook_of_the_operator_that_forbids_a_transaction_is_obeyed(based: Node) -> None:
    based.offer(Deb("tool", "2.0-1"))
    based.succeed("UPDATE", "v2")
    (based.root / "etc/apt/apt.conf.d/60own").write_text('DPkg::Pre-Invoke { "exit 3"; };\n', encoding="utf-8")
    failed = based.fail("UPDATE", "v1")
    assert based.versions()["tool"] == "2.0-1"
    assert "Problem executing scripts DPkg::Pre-Invoke 'exit 3'" in failed.complaint


def test_failing_scripts_of_leaving_packages_stop_no_undo(based: Node) -> None:
    one = based.packages()
    based.step("health.d/10-ping", "exit 1")
    both = {"prerm": "exit 1", "postrm": "exit 1"}
    based.offer(Deb("tool", "2.0-1", fields={"Depends": "helper"}, scripts=both), Deb("helper", "2.0-1", scripts=both))
    failed = based.fail("UPDATE", "v2")
    assert based.packages() == one
    assert "the node has the packages that it had before" in failed.complaint
    assert "of a leaving package: helper: postrm purge ended with exit status 1" in failed.complaint
    assert based.hand.faults() == ""


def test_a_trigger_that_fails_once_stops_no_restore(based: Node) -> None:
    """A package that stays reacts to what the others take away."""
    script = 'if [ "$1" = triggered ] && [ -e "$DPKG_ROOT/run/fail" ]; then rm "$DPKG_ROOT/run/fail"; exit 1; fi'
    based.offer(Deb("watch", "1.0-1", scripts={"postinst": script}, triggers="interest-await /usr/share/tool\n"))
    based.install_by_hand("watch")
    one = based.packages()
    based.offer(Deb("tool", "2.0-1", files={"usr/share/tool": "2\n"}))
    based.succeed("UPDATE", "v2")
    (based.root / "run/fail").touch()
    based.succeed("UPDATE", "v1", restore="changes")
    assert based.packages() == one
    assert based.hand.faults() == ""


def test_a_script_that_is_killed_while_it_is_wrapped_is_gone_afterwards(based: Node) -> None:
    one = based.packages()
    waits = f'if [ -e "$DPKG_ROOT/run/hold" ]; then {WAITS}; fi; touch "$DPKG_ROOT/run/hold"; exit 1'
    update(based, {}, {"postrm": waits})
    deployment = based.cut_off("UPDATE", "v1")
    info = based.root / "var/lib/dpkg/info"
    assert (info / ".os-update-agent").is_dir()
    done = based.start_with(deployment).wait()
    assert done.status == 0, done.complaint
    assert based.packages() == one
    assert not (info / ".os-update-agent").exists()
    assert "os-update-agent" not in "".join(path.read_text() for path in info.glob("*.p*"))
    assert based.hand.faults() == ""


def test_a_file_that_moved_to_another_package_without_a_word_moves_back(based: Node) -> None:
    """dpkg does not let the old package overwrite the file while the new version of the other package has it."""
    based.offer(Deb("tool", "1.1-1", files={"usr/share/moved": "1\n"}), Deb("zoo", "1.0-1"))
    based.install_by_hand("tool", "zoo")
    based.succeed("CREATE", "w1", resource="other")
    one = based.packages()
    based.offer(Deb("tool", "2.0-1"))
    based.succeed("UPDATE", "w2", resource="other")
    based.offer(Deb("zoo", "2.0-1", files={"usr/share/moved": "2\n"}))
    based.succeed("UPDATE", "w3", resource="other")
    back = based.succeed("UPDATE", "w1", resource="other")
    assert based.packages() == one
    assert based.text("usr/share/moved") == "1\n"
    assert based.hand.faults() == ""
    assert "trying to overwrite '/usr/share/moved'" in back.complaint
