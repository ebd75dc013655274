"""Nodes whose packages are not the agent's to change, and boots that apply package changes of other programs."""

import json
from pathlib import Path

import pytest

from packages.line.others import document, said
from packages.node import VERSIONS_ONE, VERSIONS_TWO, Node, Result
from packages.services import Services


def boots_an_image(node: Node) -> None:
    for place in ("run/ostree-booted", "usr/bin/rpm-ostree"):
        (node.root / place).parent.mkdir(parents=True, exist_ok=True)
        (node.root / place).touch()


def is_refused(result: Result, why: str) -> None:
    assert why in result.complaint and "; nothing was changed\nnext: " in result.complaint
    (signal,) = result.received
    assert json.loads(signal.body)["deploy_status_code"] == result.status == 1


def test_an_image_based_node_refuses_what_needs_packages_before_anything_is_done(based: Node) -> None:
    based.step("pre-update.d/10-out")
    based.offer_two()
    lists = based.root / "var/lib/apt/lists"
    before = sorted(path.name for path in lists.iterdir())
    boots_an_image(based)
    for option in ({}, {"operation": "download"}, {"operation": "assess"}):
        refused = based.fail("UPDATE", f"v2-{option}", **option)
        is_refused(refused, "this node is an image-based system (ostree): its packages are changed with 'rpm-ostree")
    assert based.versions() == VERSIONS_ONE and based.ran() == []
    assert sorted(path.name for path in lists.iterdir()) == before
    with based.ledger() as ledger:
        assert ledger.runs() == ()
    # The value at which the node stands needs nothing.
    assert "the node stands at this value already" in based.succeed("UPDATE", "v1").told


def test_the_first_delivery_of_an_image_based_node_promises_nothing(node: Node) -> None:
    boots_an_image(node)
    deployment = node.deployment("CREATE", "v1")
    refused = node.start_with(deployment).wait()
    is_refused(refused, "'rpm-ostree upgrade'")
    assert node.history().records == ()
    # The stored result answers, whatever the node is by then.
    (node.root / "run/ostree-booted").unlink()
    assert node.start_with(deployment).wait().body == refused.body
    node.succeed("CREATE", "v2")


def test_services_are_stopped_and_started_on_an_image_based_node(based: Node, tmp_path: Path) -> None:
    services = Services(tmp_path / "services", "web.service")
    based.configure(systemctl=services.program)
    boots_an_image(based)
    based.succeed("UPDATE", "s1", operation="stop", units="web")


def test_the_commands_name_what_changes_the_packages(based: Node) -> None:
    boots_an_image(based)
    why = "this node is an image-based system (ostree)"
    assert why in said(based, "plan", status=1)
    assert why in said(based, "plan", "v1", status=1)
    assert why in said(based, "update", "v2", "-q", status=1)
    assert why in said(based, "rollback", "v1", "-q", status=1)
    assert f"every update is refused: {why}" in said(based)
    assert document(based, "status")["unsuitable"].startswith(why)
    # The operator knows better.
    text = based.conf.read_text(encoding="utf-8")
    based.conf.write_text(text.replace("[node]\n", "[node]\nkind = package-based\n"), encoding="utf-8")
    assert document(based, "status")["unsuitable"] == ""
    based.offer_two()
    based.succeed("UPDATE", "v2")
    assert based.versions() == VERSIONS_TWO


@pytest.mark.parametrize("directory", ["usr", ""])
def test_a_directory_that_is_mounted_read_only_is_named_and_an_application_container_too(
    based: Node, directory: str
) -> None:
    based.step("pre-update.d/10-out")
    based.offer_two()
    place = based.root / directory
    mount = f"mount --bind {place} {place} && mount -o remount,bind,ro {place}"
    based.wrapper = ("unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh")
    is_refused(based.fail("UPDATE", "v2"), f"{str(place).rstrip('/')} is mounted read-only")
    based.wrapper = ()
    assert based.ran() == []
    (based.root / "run/.containerenv").touch()
    is_refused(based.fail("UPDATE", "v2"), "an application container (podman)")


def test_a_node_whose_ledger_lies_on_its_read_only_root_says_why_too(based: Node) -> None:
    boots_an_image(based)
    mount = f"mount --bind {based.state} {based.state} && mount -o remount,bind,ro {based.state}"
    based.wrapper = ("unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh")
    is_refused(based.fail("UPDATE", "v2"), "this node is an image-based system (ostree)")


def can_reboot(node: Node) -> None:
    """The node has a machine, which notes that it is to reboot, and does not."""
    program = node.directory / "systemctl"
    program.write_text(f'#!/bin/sh\n[ "$1" != reboot ] || echo "machine reboot" >> {node.directory}/ran\n', "utf-8")
    program.chmod(0o755)
    node.configure(systemctl=program)


def prepares(node: Node) -> Path:
    """dnf5 has an offline transaction ready; returns the link with which it arms the next boot."""
    state = node.root / "usr/lib/sysimage/libdnf5/offline/offline-transaction-state.toml"
    state.parent.mkdir(parents=True)
    state.write_text('[offline-transaction-state]\nstatus = "download-complete"\n', encoding="utf-8")
    return node.root / "system-update"


def test_what_is_prepared_for_a_boot_is_named_and_keeps_an_update_from_rebooting(based: Node) -> None:
    based.offer_two()
    link = prepares(based)
    words = "an offline transaction of dnf5 ('dnf5 offline clean' drops it)"
    assert f"pending: {words} is prepared" in said(based, "plan") and f"pending: {words}" in said(based)
    link.symlink_to("/usr/lib/sysimage/libdnf5/offline")
    can_reboot(based)
    (pending,) = document(based, "status")["pending"]
    assert pending.startswith(f"the next boot applies {words}")
    plan = document(based, "plan", "--set", "reboot=always")
    assert plan["pending"] == [pending] and not plan["can_be_done"] and "reboot: always" in plan["refused"]
    assert document(based, "plan")["can_be_done"]
    is_refused(based.fail("UPDATE", "v2", reboot="if-needed"), f"the next boot applies {words}")
    assert based.ran() == [] and based.versions() == VERSIONS_ONE
    # Without a reboot it is only said.
    done = based.succeed("UPDATE", "v2")
    assert f"pending: {pending}" in done.complaint
    # The way back is not held up, and does not boot.
    back = based.succeed("UPDATE", "v1", reboot="always")
    assert "no reboot (reboot: always): the next boot applies" in back.complaint
    assert based.versions() == VERSIONS_ONE and "machine reboot" not in based.ran()


def test_what_is_armed_in_the_middle_of_an_update_keeps_it_from_rebooting_too(based: Node) -> None:
    based.offer_two()
    can_reboot(based)
    link = prepares(based)
    based.step("pre-update.d/20-arm", f"ln -s /usr/lib/sysimage/libdnf5/offline {link}")
    failed = based.fail("UPDATE", "v2", reboot="always")
    assert "no reboot (reboot: always): the next boot applies an offline transaction of dnf5" in failed.complaint
    assert "was undone" in failed.complaint
    assert based.versions() == VERSIONS_ONE and "machine reboot" not in based.ran()
