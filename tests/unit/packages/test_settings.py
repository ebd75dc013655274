"""The settings outside of packages: their lines, the files of their tools, and what has to be done about them."""

import random
import stat
from dataclasses import replace
from typing import Any, Dict, Tuple

import pytest

from os_update_agent.model.packages import Package, PackageState, as_package, diff
from os_update_agent.model.settings import (
    MODULE,
    MODULES_ARE_KNOWN,
    Alternative,
    Choice,
    Kind,
    Setting,
    SettingChange,
    Settings,
    differing,
    lines_of,
    settings_in,
)
from os_update_agent.packages.apt.dpkg_files import Look, packed_looks
from os_update_agent.packages.settings import (
    alternative_calls,
    divert_call,
    due_before,
    override_calls,
    read_alternative,
    read_diversions,
    read_overrides,
    settings_overlaid,
    spellings,
    targets_of,
    touched_settings,
    unmet_settings,
    without_override,
)
from os_update_agent.packages.state import expected, overlaid, sound, touched_by
from os_update_agent.text.phrases import other_setting, setting_line

APP, APP2 = Package("app", "amd64", "1"), Package("app", "amd64", "2")
DIVERTED = Setting("diversion", "/usr/bin/tool", ("/usr/bin/tool.real", "app"))
LOCAL = Setting("diversion", "/usr/bin/tool", ("/usr/bin/tool.mine", ":"))
OVERRIDDEN = Setting("override", "/etc/ssl/private", ("root", "ssl-cert", "710"))
ONE, TWO = Choice("/usr/bin/one", "10", ("/man/one",)), Choice("/usr/bin/two", "20", ("",))
EDITOR = Alternative("auto", "/usr/bin/two", "/usr/bin/ed", (("ed.1", "/man/ed"),), (ONE, TWO))


def ed(**other: Any) -> Setting:
    return Setting("alternative", "ed", EDITOR._replace(**other).value)


def state(*settings: Setting, package: Package = APP) -> PackageState:
    return PackageState("apt", "amd64", (package,), settings=tuple(sorted(settings)))


UNKNOWN = PackageState("apt", "amd64", (APP,))

# --- lines


def test_a_state_without_known_settings_has_the_digest_that_it_always_had() -> None:
    assert UNKNOWN.lines == ("app\tamd64\t1",)
    assert UNKNOWN.digest == "64c9d149e46f23ea0207da6ae8f38d3d14194d6b08c5f53eddf03367509c9e0b"


def test_no_settings_and_unknown_settings_are_two_things() -> None:
    assert state().digest != UNKNOWN.digest != state(DIVERTED).digest
    for known in (UNKNOWN, state(), state(DIVERTED, OVERRIDDEN, ed())):
        read = PackageState.of_lines("apt", "amd64", known.lines)
        assert read == known and read.digest == known.digest


@pytest.mark.parametrize("odd", ["a b", "tab\t", "line\nend", "\udcff", "=", '"', "\\", "ä", ""])
def test_any_name_and_value_come_back_from_their_line(odd: str) -> None:
    settings: Settings = (Setting("override", f"/{odd}", (odd, "root", "755")),)
    lines = lines_of(settings)
    assert settings_in(lines) == settings
    assert all(line.isascii() and not {"\t", "\n"} & set(line) for line in lines)


def test_an_agent_without_settings_refuses_each_of_their_lines() -> None:
    for line in lines_of((DIVERTED, OVERRIDDEN, ed())):
        with pytest.raises(TypeError):
            as_package(line)


@pytest.mark.parametrize("line", ["=", "=1", "={}", '=["override"]', '=["override", 1, "x"]'])
def test_a_line_that_is_no_setting_is_refused(line: str) -> None:
    with pytest.raises(TypeError):
        PackageState.of_lines("apt", "amd64", ["app\tamd64\t1", line])


# --- states


def test_an_update_plans_no_settings_and_a_restore_the_recorded_ones() -> None:
    assert expected(state(DIVERTED), diff(state(), state(package=APP2))).settings is None
    assert sound(state(DIVERTED)).settings == (DIVERTED,)


def test_a_restore_of_changes_puts_back_what_its_runs_have_changed() -> None:
    recorded, after, now = state(OVERRIDDEN), state(OVERRIDDEN, DIVERTED), state(DIVERTED, ed(), package=APP2)
    touched = touched_settings(recorded.settings, after.settings)
    assert touched == {("diversion", "/usr/bin/tool")}
    assert overlaid(now, recorded, touched_by(recorded, now), touched) == state(ed())
    assert settings_overlaid(now.settings, None, touched) is None


def test_what_is_unknown_differs_in_nothing() -> None:
    assert differing(None, (DIVERTED,)) == differing((DIVERTED,), None) == ()
    assert unmet_settings((DIVERTED,), None) == ()


# --- the files of the tools

DPKG = "auto\n/usr/bin/ed\ned.1\n/man/ed\n\n/usr/bin/one\n10\n/man/one\n/usr/bin/two\n20\n\n\n"


def test_the_file_of_dpkg() -> None:
    """With an empty slave of the last target, and an empty line at the end."""
    assert read_alternative("ed", DPKG, "/usr/bin/two") == ed()


def test_the_file_of_chkconfig() -> None:
    """With families, a service, a slave link that nobody has any more, and another order."""
    text = (
        "manual\n/usr/bin/ed\nzz\n/man/zz\nold\n/man/old\ned.1\n/man/ed\n\n"
        "/usr/bin/two\n@fam@20 postfix\n/man/z2\n\n\n/usr/bin/one\n10\n\n\n/man/one\n\n"
    )
    found = Alternative.of(read_alternative("ed", text, "/usr/bin/one").value)
    assert found.slaves == (("ed.1", "/man/ed"), ("zz", "/man/zz"))
    assert found.choices == (
        Choice("/usr/bin/one", "10", ("/man/one", "")),
        Choice("/usr/bin/two", "@fam@20 postfix", ("", "/man/z2")),
    )


@pytest.mark.parametrize(
    "text",
    ["", "auto", "auto\n/usr/bin/ed\n", "nonsense\n/x\n\n/a\n1\n", "auto\n/x\nslave\n\n/a\n1\n", "auto\n/x\n\n/a"],
)
def test_a_file_that_cannot_be_read_is_kept_as_it_is_and_touched_by_no_call(text: str) -> None:
    odd = read_alternative("ed", text, "/x")
    assert odd.value == ("?", "/x", *text.split("\n")) and "unreadable" in odd.as_json()
    assert alternative_calls([SettingChange(odd, ed()), SettingChange(ed(), odd), SettingChange(odd, None)]) == ()
    assert "in place of" in other_setting(SettingChange(odd, ed()))


def test_a_link_that_was_changed_by_hand_is_a_choice_by_hand() -> None:
    assert read_alternative("ed", DPKG, "/usr/bin/one").value[:2] == ("manual", "/usr/bin/one")
    assert read_alternative("ed", DPKG, "").value[:2] == ("auto", "")


def test_diversions_and_overrides() -> None:
    assert read_diversions("/a b\n/c\npkg\n/d\n/e\n:\n") == [
        Setting("diversion", "/a b", ("/c", "pkg")),
        Setting("diversion", "/d", ("/e", ":")),
    ]
    text = "root ssl-cert 710 /etc/ssl/private\n#5 adm 4755 /a b\n"
    assert read_overrides(text) == [OVERRIDDEN, Setting("override", "/a b", ("#5", "adm", "4755"))]
    assert read_diversions("") == read_overrides("") == []


def test_the_owner_and_mode_of_a_path_in_a_package_file() -> None:
    modes = random.Random(1).sample(range(0o10000), 300)
    shown = {f"/f{mode}": stat.filemode(stat.S_IFREG | mode) for mode in modes}
    text = "".join(f"{one} root/adm  5 2026-01-02 10:11 .{path}\n" for path, one in shown.items())
    text += "lrwxrwxrwx root/root 0 2026-01-02 10:11 ./link -> f\n"
    assert packed_looks(text, {*shown, "/link"}) == {f"/f{mode}": Look("root", "adm", mode) for mode in modes}


# --- what has to be done


def test_overrides_and_new_diversions_come_before_the_transaction() -> None:
    goes, comes = SettingChange(DIVERTED, None), SettingChange(None, DIVERTED)
    moves, override = SettingChange(DIVERTED, LOCAL), SettingChange(OVERRIDDEN, None)
    assert due_before([goes, comes, moves, override, SettingChange(None, ed())]) == (comes, moves, override)
    assert without_override([goes, override, SettingChange(None, OVERRIDDEN)]) == ("/etc/ssl/private",)


def test_a_path_of_a_merged_usr_has_two_spellings() -> None:
    assert spellings("/bin/su") == ("/bin/su", "/usr/bin/su") and spellings("/usr/lib/x/y") == (
        "/usr/lib/x/y",
        "/lib/x/y",
    )
    assert spellings("/usr/share/x") == ("/usr/share/x",) and spellings("/etc/bin/x") == ("/etc/bin/x",)


def test_the_calls_for_diversions_and_overrides() -> None:
    assert divert_call(DIVERTED, "--add", renames=True) == (
        *("--package", "app", "--rename", "--divert", "/usr/bin/tool.real", "--add", "/usr/bin/tool"),
    )
    assert divert_call(LOCAL, "--remove", renames=False)[:2] == ("--local", "--no-rename")
    other = OVERRIDDEN._replace(value=("root", "root", "700"))
    assert override_calls(SettingChange(OVERRIDDEN, other)) == (
        ("--remove", "/etc/ssl/private"),
        ("--update", "--add", "root", "root", "700", "/etc/ssl/private"),
    )


def test_the_calls_for_an_alternative() -> None:
    less = ed(choices=(TWO,), slaves=EDITOR.slaves, selected="/usr/bin/two")
    assert alternative_calls([SettingChange(less, ed())]) == (
        ("--install", "/usr/bin/ed", "ed", "/usr/bin/one", "10", "--slave", "/man/ed", "ed.1", "/man/one"),
        ("--auto", "ed"),
    )
    assert alternative_calls([SettingChange(ed(), None)]) == (
        ("--remove", "ed", "/usr/bin/one"),
        ("--remove", "ed", "/usr/bin/two"),
    )
    chosen = ed(mode="manual", selected="/usr/bin/one")
    assert alternative_calls([SettingChange(ed(), chosen)]) == (("--set", "ed", "/usr/bin/one"),)


def test_the_calls_for_chkconfig_have_the_family_and_the_service() -> None:
    more = ed(choices=(ONE, TWO._replace(priority="@fam@20 postfix")))
    assert alternative_calls([SettingChange(ed(choices=(ONE,)), more)])[0] == (
        *("--install", "/usr/bin/ed", "ed", "/usr/bin/two", "20", "--family", "fam", "--initscript", "postfix"),
    )


def test_all_removals_come_first_and_another_link_needs_all_of_them() -> None:
    moved = Setting("alternative", "vi", EDITOR._replace(link="/usr/bin/vi").value)
    calls = alternative_calls([SettingChange(moved._replace(value=EDITOR.value), moved), SettingChange(ed(), None)])
    assert [call[:2] for call in calls] == [
        *[("--remove", "vi")] * 2,
        *[("--remove", "ed")] * 2,
        *[("--install", "/usr/bin/vi")] * 2,
        ("--auto", "vi"),
    ]


def test_a_target_that_does_not_exist_is_not_demanded() -> None:
    changes = differing((), (ed(),))
    assert targets_of(changes) == {"/usr/bin/one", "/usr/bin/two"}
    left = ed(choices=(ONE,), selected="/usr/bin/one")
    assert unmet_settings((), (ed(),), ["/usr/bin/two"]) == (SettingChange(None, left),)
    assert unmet_settings((left,), (ed(),), ["/usr/bin/two"]) == ()
    assert unmet_settings((), (ed(),), ["/usr/bin/one", "/usr/bin/two"]) == ()
    assert unmet_settings((left,), (ed(),), ["/usr/bin/one", "/usr/bin/two"]) == (SettingChange(left, None),)
    # It is not dropped as long as nobody has touched it.
    assert unmet_settings((ed(),), (ed(),), ["/usr/bin/two"]) == ()


def test_a_link_that_was_missing_may_have_any_target() -> None:
    assert unmet_settings((ed(),), (ed(selected=""),)) == ()


# --- words

WORDS: Dict[str, Tuple[SettingChange, str]] = {
    "new": (SettingChange(None, DIVERTED), "diversion of /usr/bin/tool: to /usr/bin/tool.real by app (new)"),
    "removed": (
        SettingChange(OVERRIDDEN, None),
        "override of /etc/ssl/private: root ssl-cert 710 -> removed",
    ),
    "changed": (
        SettingChange(DIVERTED, LOCAL),
        "diversion of /usr/bin/tool: to /usr/bin/tool.real by app -> to /usr/bin/tool.mine by the administrator",
    ),
    "choices": (
        SettingChange(ed(choices=(TWO,)), ed(choices=(ONE, TWO))),
        "alternative ed: with /usr/bin/one (priority 10)",
    ),
}


@pytest.mark.parametrize("case", sorted(WORDS))
def test_a_difference_in_words(case: str) -> None:
    change, text = WORDS[case]
    assert setting_line(change) == text


def test_a_complaint_names_what_was_wanted_and_what_is_there() -> None:
    assert other_setting(SettingChange(OVERRIDDEN, None)) == (
        "override of /etc/ssl/private is root ssl-cert 710 in place of absent"
    )
    assert other_setting(SettingChange(ed(choices=(ONE, TWO)), ed(choices=(TWO,)))) == (
        "alternative ed is /usr/bin/two (auto) in place of the same, but without /usr/bin/one"
    )


def test_a_change_of_a_state_needs_no_setting() -> None:
    """Rows and settings are compared apart."""
    kinds: Tuple[Kind, ...] = ("alternative", "diversion", "override")
    changes = differing((), state(DIVERTED, OVERRIDDEN, ed()).settings)
    assert tuple(change.kind for change in changes) == kinds
    assert diff(state(DIVERTED), replace(state(DIVERTED), settings=None)) == ()


PERL = Setting(MODULE, "perl", ("enabled", "5.26", "common", "minimal"))


def test_modules_go_through_their_lines() -> None:
    settings = (MODULES_ARE_KNOWN, PERL)
    assert lines_of(settings) == ["=[]", '=["module"]', '=["module", "perl", "enabled", "5.26", "common", "minimal"]']
    assert settings_in(lines_of(settings)) == settings
    assert PERL.as_json() == {"state": "enabled", "stream": "5.26", "profiles": ["common", "minimal"]}


def test_the_modules_of_a_state_that_does_not_know_any_stay_as_they_are() -> None:
    """An older agent recorded it."""
    known, older = (MODULES_ARE_KNOWN, PERL), ()
    assert differing(known, older) == differing(older, known) == unmet_settings(known, older) == ()
    assert differing(known, (MODULES_ARE_KNOWN,)) == (SettingChange(PERL, None),)
