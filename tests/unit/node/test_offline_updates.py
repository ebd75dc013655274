"""Package changes that other programs have prepared for a boot of the node."""

import json
from pathlib import Path

import pytest

from os_update_agent.node.offline_updates import next_boot, offline_updates

DNF5 = "usr/lib/sysimage/libdnf5/offline/offline-transaction-state.toml"
DNF4 = "var/lib/dnf/system-upgrade/system-upgrade-state.json"
PACKAGEKIT = "var/lib/PackageKit/prepared-update"


def state(status: str) -> str:
    return f'[offline-transaction-state]\nstate_version = 1\nstatus = "{status}"\ncmd_line = "dnf5 upgrade --offline"\n'


def write(root: Path, place: str, text: str) -> None:
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_a_node_on_which_nothing_is_prepared(tmp_path: Path) -> None:
    write(tmp_path, DNF5, state("download-incomplete"))
    write(tmp_path, DNF4, json.dumps({"download_status": "downloading", "state_version": 3}))
    (tmp_path / "system-update").symlink_to("/var/lib/fwupd")
    assert offline_updates(tmp_path) == () and next_boot(tmp_path) == ""


@pytest.mark.parametrize(
    "place, text, target, name",
    [
        (DNF5, state("download-complete"), "/usr/lib/sysimage/libdnf5/offline", "dnf5"),
        (DNF4, json.dumps({"download_status": "complete"}, indent=4), "/var/lib/dnf/system-upgrade", "dnf"),
        (PACKAGEKIT, "[update]\nprepared_ids=app;2;x86_64;demo\n", "/var/cache", "PackageKit"),
    ],
)
def test_what_is_prepared_is_named_and_the_link_of_systemd_arms_it(
    tmp_path: Path, place: str, text: str, target: str, name: str
) -> None:
    write(tmp_path, place, text)
    (prepared,) = offline_updates(tmp_path)
    assert not prepared.is_armed and f" of {name} (" in prepared.words
    assert next_boot(tmp_path) == ""
    link = tmp_path / "etc/system-update"
    link.parent.mkdir()
    link.symlink_to(target)
    (armed,) = offline_updates(tmp_path)
    assert armed.is_armed and armed.words == prepared.words == next_boot(tmp_path)
    assert armed.sentence.startswith("the next boot applies an offline ")


def test_a_link_of_somebody_unknown_is_named_by_where_it_points(tmp_path: Path) -> None:
    (tmp_path / "system-update").symlink_to("/var/lib/other")
    (armed,) = offline_updates(tmp_path)
    assert armed.is_armed and "/var/lib/other" in armed.sentence
