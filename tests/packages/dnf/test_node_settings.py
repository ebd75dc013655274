"""What the node forbids its dnf, and which architecture is meant; with both dnfs."""

import os
import shutil
from typing import Callable, Dict, Optional

import pytest

from os_update_agent.testing.rpm_repository import Rpm, native_architecture
from packages import sid
from packages.hand_rpm import WAITS
from packages.node import VERSIONS_ONE, VERSIONS_TWO, Node, wait_until

# The machine in whose root dnf looks has booted into the kernel of this file: $1 is that root.
_BOOTED = 'mount -t tmpfs boot "$1/boot" && touch "$1/boot/vmlinuz-$(uname -r)" && shift && exec "$@"'


def set_in_main(node: Node, **setting: str) -> None:
    conf = node.root / "etc/dnf/dnf.conf"
    lines = "".join(f"{name}={value}\n" for name, value in setting.items())
    conf.write_text(conf.read_text(encoding="utf-8") + lines, encoding="utf-8")


def set_in_repository(node: Node, **setting: str) -> None:
    node.hand.use(**setting)


def reset(node: Node) -> None:
    """The operator's own eyes are not to be covered."""
    shutil.copy(node.template.directory / "root/etc/dnf/dnf.conf", node.root / "etc/dnf/dnf.conf")
    node.hand.use()


# --- the kernel that runs


@pytest.mark.parametrize("based_dnf_template", ["dnf5"], indirect=True)
def test_a_kernel_that_the_machine_has_booted_into_is_taken_back(based: Node) -> None:
    """dnf 4 knows of no running kernel in a root that is not this machine's: see test_dnf4_own_root."""
    node = based
    node.offer(kernel("6.1.1", "6.1.1"))
    node.install_by_hand("kernel")
    one = node.packages()
    node.offer(kernel("6.1.2", os.uname().release), Rpm("tool", "2.0"))
    node.succeed("UPDATE", "v2")
    node.wrapper = ("unshare", "--mount", "sh", "-c", _BOOTED, "sh", str(sid.root()))
    node.succeed("UPDATE", "v1")
    assert node.packages() == one


def kernel(version: str, release: str) -> Rpm:
    """``release`` is what `uname -r` says of a machine that runs it."""
    return Rpm(
        "kernel", version, provides=["installonlypkg(kernel)"], files={f"/boot/vmlinuz-{release}": version * 100}
    )


# --- what is left out


@pytest.mark.parametrize(
    "set_in, setting",
    [
        (set_in_main, {"excludepkgs": "epochy,app,oldname,extra,newname"}),
        (set_in_main, {"includepkgs": "tool"}),
        (set_in_repository, {"excludepkgs": "*"}),
    ],
    ids=["excluded", "not included", "excluded from the repository"],
)
def test_what_the_node_excludes_is_put_back_all_the_same(
    based: Node, set_in: Callable[..., None], setting: Dict[str, str]
) -> None:
    node = based
    one = node.packages()
    node.offer_two()
    node.succeed("UPDATE", "v2")
    two = node.packages()
    for value, state in (("v1", one), ("v2", two)):
        set_in(node, **setting)
        node.succeed("UPDATE", value)
        reset(node)
        assert node.packages() == state


def test_an_old_version_that_the_node_leaves_out_is_kept_for_the_way_back(based: Node) -> None:
    """What is hidden while an update is planned has to be seen again when its files are fetched."""
    node = based
    one = node.packages()
    node.offer(Rpm("tool", "2.0"))
    set_in_repository(node, excludepkgs="tool-1.0*")
    node.succeed("UPDATE", "v2", archive="required")
    assert node.versions()["tool"] == "2.0-1"
    node.succeed("UPDATE", "v1")
    assert node.packages() == one


def test_what_the_node_excludes_is_not_updated_and_named(based: Node) -> None:
    node = based
    set_in_main(node, excludepkgs="epochy")
    node.offer_two()
    done = node.succeed("UPDATE", "v2")
    assert node.versions() == {**VERSIONS_TWO, "epochy": VERSIONS_ONE["epochy"]}
    assert done.held_back["epochy"] == "excluded by the configuration of dnf (excludepkgs)"


def test_what_the_node_does_not_include_is_not_updated_and_named(based: Node) -> None:
    node = based
    set_in_main(node, includepkgs="epochy")
    node.offer_two()
    done = node.succeed("UPDATE", "v2")
    assert node.versions() == {**VERSIONS_ONE, "epochy": VERSIONS_TWO["epochy"]}
    assert done.held_back["app"] == "excluded by the configuration of dnf (excludepkgs)"


def test_an_excluded_package_that_was_cut_off_is_completed(based: Node) -> None:
    """Somebody's own dnf, with --disableexcludes, say; both versions of the package are there."""
    node = based
    node.offer(Rpm("tool", "2.0", files={"/usr/share/tool": "2\n"}, scripts={"post": WAITS}))
    running = node.hand.start_installing("tool")
    wait_until(node.hand.is_waiting, "the script")
    running.kill()
    running.wait()
    node.hand.let_go()
    wait_until(lambda: "tool is there twice" in node.hand.faults(), "the record of the new one")
    set_in_main(node, excludepkgs="tool")
    node.offer(Rpm("epochy", "9.1"))
    node.succeed("UPDATE", "v2")
    assert node.versions() == {**VERSIONS_ONE, "epochy": "9.1-1", "tool": "2.0-1"}
    assert node.hand.faults() == ""


# --- what is checked


def test_a_file_is_checked_as_its_repository_asks_and_not_as_a_stranger(based: Node) -> None:
    node = based
    set_in_main(node, localpkg_gpgcheck="1")
    one = node.packages()
    node.offer_two()
    node.succeed("UPDATE", "v2")
    assert node.versions() == VERSIONS_TWO
    node.succeed("UPDATE", "v1")
    assert node.packages() == one


# --- which architecture


@pytest.mark.skipif(native_architecture() != "x86_64", reason="the native architecture has no other one beside it")
@pytest.mark.parametrize(
    "options, version, reason",
    [
        ({"exclude": "both:i686"}, "1.0-1", "excluded by 'both:i686' (exclude)"),
        ({"exclude": "both:x86*"}, "1.0-1", "excluded by 'both:x86*' (exclude)"),
        ({"packages": "both:x86_64"}, "2.0-1", None),
        ({"packages": "b*:i?86"}, "2.0-1", None),
        ({"packages": "both:noarch"}, "1.0-1", "not selected (packages)"),
    ],
)
def test_a_name_in_two_architectures_has_one_version(
    based: Node, options: Dict[str, str], version: str, reason: Optional[str]
) -> None:
    """dnf has it so: who asks for one of them, or leaves it out, means both."""
    node = based
    offer_both(node, "1.0")
    node.install_by_hand("both.x86_64", "both.i686")
    offer_both(node, "2.0")
    done = node.succeed("UPDATE", "v2", **options)
    found = {package.arch: package.version for package in node.recorded("v2").packages if package.name == "both"}
    assert found == {"i686": version, "x86_64": version}
    assert done.held_back.get("both") == reason


def offer_both(node: Node, version: str) -> None:
    node.offer(*(Rpm("both", version, arch=arch) for arch in ("i686", "x86_64")))
