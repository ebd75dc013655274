"""Facts that no test machine has: SELinux, foreign versions, other kernels."""

import pytest

from os_update_agent.selftest import package_verdicts, verdicts
from os_update_agent.selftest.package_verdicts import Kernel
from os_update_agent.selftest.verdicts import Probe, Selinux

CHAIN = "system_u:system_r:{}:s0"


@pytest.mark.parametrize(
    ("mode", "chain", "result"),
    [
        ("", "", "ok"),
        ("enforcing", CHAIN.format("unconfined_service_t"), "ok"),
        ("enforcing", CHAIN.format("httpd_t"), "attention"),
        ("permissive", CHAIN.format("httpd_t"), "attention"),
        ("enforcing", "", "attention"),
        ("permissive", "", "ok"),
    ],
)
def test_the_domain_of_the_chain_decides_about_selinux(mode: str, chain: str, result: str) -> None:
    found = verdicts.selinux(Selinux(mode, chain, CHAIN.format("unconfined_t"), {"/hook": ""}))
    assert found.result == result
    assert ("httpd_t" in found.advice) == ("httpd_t" in chain)


def test_bindings_name_what_is_missing() -> None:
    probe = Probe((3, 6, 8), "/usr/libexec/platform-python", {"rpm": "4.14"}, {"dnf": "ImportError: x"})
    found = verdicts.bindings(probe, "python3-dnf")
    assert found.result == "failed" and "dnf: ImportError: x" in found.found and "python3-dnf" in found.advice


def test_an_old_python_is_a_failure() -> None:
    assert verdicts.python((3, 6, 8), "p", (3, 9)).result == "failed"
    assert verdicts.python((3, 9, 0), "p", (3, 9)).result == "ok"


def test_the_clock() -> None:
    assert verdicts.clock(1.0, "1970", 2.0, True).result == "failed"
    assert [verdicts.clock(3.0, "1970", 2.0, known).result for known in (True, False, None)] == [
        "ok",
        "attention",
        "ok",
    ]


def test_python3_apt_belongs_to_its_apt() -> None:
    known = {"apt": "2.6.1", "python3-apt": "2.6.0"}
    assert package_verdicts.apt_versions(known).result == "ok"
    assert package_verdicts.apt_versions({**known, "apt": "3.0.3"}).result == "attention"
    assert package_verdicts.apt_versions({"apt": "2.6.1"}).result == "failed"


def test_the_kernel_of_the_next_boot() -> None:
    assert package_verdicts.kernel_of_grub(Kernel("6.1", "saved")).result == "attention"
    assert package_verdicts.kernel_of_grub(Kernel("6.1", "0")).result == "ok"
    assert package_verdicts.kernel_of_rpm(Kernel("6.1", "saved", "/boot/vmlinuz-6.1")).result == "ok"
    assert package_verdicts.kernel_of_rpm(Kernel("6.1", "saved", "/boot/vmlinuz-5.0")).result == "attention"


def test_an_update_manager_beside_the_agent_is_named() -> None:
    beside = {"needrestart": True, "unattended-upgrades": True}
    assert package_verdicts.apt_surroundings("abc\n", beside).result == "attention"
    assert package_verdicts.apt_surroundings("abc\n", {"needrestart": True}).result == "ok"
    assert package_verdicts.apt_surroundings("", {"needrestart": True}).result == "attention"


def test_plugins_that_the_agent_leaves_out() -> None:
    found = package_verdicts.dnf_plugins(
        {"a": True, "b": False, "versionlock": True}, ["versionlock"], is_private=False
    )
    assert found.found == "honored: a; left out by the agent: versionlock; disabled: b"


def test_a_node_without_a_transient_unit() -> None:
    assert verdicts.transient_units(True, True, "252", "no bus").result == "failed"
    assert verdicts.transient_units(True, False, "252", "").result == "not checked"
    assert verdicts.transient_units(False, True, "", "").result == "attention"
