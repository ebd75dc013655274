"""The answers of apt's worker as the agent's values."""

import pytest

from os_update_agent.model.packages import Change, Package, PackageState
from os_update_agent.packages.apt.answers import as_attempted, as_changes, as_upgraded
from os_update_agent.packages.apt.protocol import Attempted, Kept, Step, Upgraded
from os_update_agent.packages.apt.security import is_security

STABLE, SECURITY = "Debian:12.9/stable", "Debian-Security:12/stable-security"
INSTALLED = PackageState("apt", "amd64", (
    Package("foreign", "i386", "1.0-1"),
    Package("held", "amd64", "1.0-1", want="hold"),
    Package("leftover", "amd64", "1.0-1", status="config-files", want="deinstall"),
    Package("libapp1", "amd64", "1.0-1", mark="auto", digest="abc"),
    Package("oldname", "all", "1.0-1"),
    Package("turns", "all", "1.0-1"),
))  # fmt: skip


def change(step: Step) -> Change:
    (found,) = as_changes([step], INSTALLED)
    return found


def test_an_update_carries_mark_hold_and_origins() -> None:
    found = change(Step("libapp1", "", "2.0-1", "amd64", [STABLE, SECURITY]))
    assert found.after == Package("libapp1", "amd64", "2.0-1", mark="auto")
    assert (found.origins, found.is_security) == ((STABLE, SECURITY), True)
    held = change(Step("held", "", "2.0-1", "amd64")).after
    assert held and held.is_held


def test_a_new_package_is_automatic_also_where_configuration_is_left() -> None:
    for name in ("new", "leftover"):
        found = change(Step(name, "", "2.0-1", "amd64", [STABLE]))
        assert (found.before, found.after) == (None, Package(name, "amd64", "2.0-1", mark="auto"))


def test_each_architecture_has_its_place() -> None:
    assert change(Step("foreign", "i386", "2.0-1", "i386")).before == INSTALLED.packages[0]
    assert change(Step("turns", "", "2.0-1", "amd64")).before == INSTALLED.packages[5]
    assert change(Step("oldname", "", None)) == Change(INSTALLED.packages[4], None)


def test_another_build_of_the_same_version_is_planned_as_such() -> None:
    after = change(Step("libapp1", "", "1.0-1", "amd64")).after
    assert after and after.is_planned and after.digest.endswith("abc")


def test_changes_are_in_order() -> None:
    steps = [Step("turns", "", "2", "all"), Step("held", "", "2", "amd64"), Step("foreign", "i386", "2", "i386")]
    assert [found.name for found in as_changes(steps, INSTALLED)] == ["foreign", "held", "turns"]


def test_an_answer_of_json_has_the_types_of_the_protocol() -> None:
    step = ("app", "", "2", "amd64", ("Demo:demo",))
    kept = Kept(Step(*step), "on hold", False)
    assert as_upgraded(((step,), ((step, "on hold", False),), "no")) == Upgraded([Step(*step)], [kept], "no")
    assert as_attempted(((step,), "", ())) == Attempted([Step(*step)], "")


@pytest.mark.parametrize(("origin", "security"), [
    ("Debian-Security:12/stable-security", True),
    ("Debian-Security:12/oldstable-security", True),
    ("Ubuntu:22.04/jammy-security", True),
    ("UbuntuESM:22.04/jammy-apps-security", True),
    ("Debian:12.9/stable", False),
    ("Ubuntu:22.04/jammy-updates", False),
    ("local-deb", False),
    ("", False),
    ("My-security-tools:1/stable", False),
])  # fmt: skip
def test_a_security_archive_says_so_itself(origin: str, security: bool) -> None:
    assert is_security([origin]) == security
    assert is_security(["Debian:12.9/stable", origin]) == security


def test_no_origin_is_no_security() -> None:
    assert not is_security([])
