"""What a person reads of a plan, and what a program reads of it."""

from dataclasses import replace
from pathlib import Path
from typing import List, Optional

import pytest

from os_update_agent.cli.views import Planned, called, history_text, plan_document, plan_text
from os_update_agent.cli.views.base import run_document
from os_update_agent.cli.views.options import option_lines, options_document
from os_update_agent.config.policy import Policy, choose
from os_update_agent.model.packages import Change, HeldBack, Package
from os_update_agent.model.plans import Plan
from os_update_agent.model.runs import Run
from os_update_agent.node.process_maps import services_with
from os_update_agent.packages.interruption import Unfinished
from os_update_agent.packages.reboot_forecast import RebootHints, asking_for_a_boot
from os_update_agent.runs.plan import Forecast

OLD, NEW = Package("libssl3", "amd64", "3.0.11-1"), Package("libssl3", "amd64", "3.0.14-1")
KERNEL = Package("linux-image-6.1.0-40-amd64", "amd64", "6.1.153-1")
PLAN = Forecast(
    Plan(
        (Change(OLD, NEW, is_security=True), Change(None, KERNEL), Change(Package("old", "all", "1"), None)),
        (HeldBack("mysql", "on hold"),),
        download=72_300_000,
        growth=401_000_000,
    ),
    reboot=("linux-image-6.1.0-40-amd64",),
    services=("nginx.service", "ssh.service"),
)


def text(plan: Forecast, archive: str = "best-effort") -> str:
    return plan_text(plan_document(Planned("an update", found=plan), archive), plan.plan.changes)


def test_a_plan_reads_like_a_release_note() -> None:
    assert text(PLAN).splitlines() == [
        "an update would change:",
        "changed (1):",
        "  libssl3: 3.0.11-1 -> 3.0.14-1 [security]",
        "new (1):",
        "  linux-image-6.1.0-40-amd64: 6.1.153-1 (new)",
        "removed (1):",
        "  old: 1 -> removed",
        "held back (1):",
        "  mysql: on hold",
        "1 changed, 1 new, 1 removed (1 of them security updates), 1 held back",
        "download: 72.3 MB; on the disk: +401.0 MB",
        "reboot: expected, for linux-image-6.1.0-40-amd64",
        "services that would still run replaced code: nginx.service, ssh.service",
        "can be undone: yes",
    ]


@pytest.mark.parametrize(
    ("unfinished", "line"),
    [
        (
            Unfinished(("app", "tool")),
            "an earlier transaction was not completed (app, tool); that is repaired first, and this plan may change"
            " then",
        ),
        (
            Unfinished(),
            "an earlier transaction was not completed; that is repaired first, and this plan may change then",
        ),
        (None, None),
    ],
)
def test_what_is_repaired_first_is_announced(unfinished: Optional[Unfinished], line: Optional[str]) -> None:
    planned = Planned("an update", found=Forecast(unfinished=unfinished))
    document = plan_document(planned, "best-effort")
    assert document["interrupted"] == planned.changes_something == (unfinished is not None)
    assert document["repaired_first"] == list(unfinished.names if unfinished else ())
    assert [each for each in plan_text(document, ()).splitlines() if "repaired" in each] == ([line] if line else [])


def test_what_cannot_be_undone_or_done_is_named() -> None:
    rebuilt = PLAN._replace(plan=replace(PLAN.plan, rebuilt=(OLD.label,)))
    assert "can be undone: yes, with files rebuilt from the node" in text(rebuilt)
    lost = PLAN._replace(plan=replace(PLAN.plan, lost=(OLD.label,)))
    assert text(lost).endswith(
        "can be undone: no, the package file of the installed version is no longer available: libssl3:amd64 3.0.11-1"
    )
    assert "the run would not start (archive: required)" in text(lost, "required")
    assert "cannot be done: no archive or repository has libssl3:amd64 3.0.14-1" in text(
        PLAN._replace(missing=(NEW.label,))
    )
    document = plan_document(Planned("", found=lost), "required")
    assert not document["can_be_done"] and not document["can_be_undone"]


def test_what_a_rehearsal_has_found_is_named() -> None:
    refused = PLAN._replace(plan=replace(PLAN.plan, undo_refused=("apt would not go back: no",)))
    assert text(refused).endswith("can be undone: no, apt would not go back: no")
    assert text(refused, "required").endswith("apt would not go back: no; the run would not start (archive: required)")
    assert not plan_document(Planned("", found=refused), "required")["can_be_done"]
    # The node must not be locked into the version that it wants to leave.
    assert plan_document(Planned("", "restore", refused), "required")["can_be_done"]
    impossible = PLAN._replace(reason="app would have to go")
    assert "cannot be done: app would have to go" in text(impossible).splitlines()
    assert "archive: required" not in text(impossible._replace(plan=refused.plan), "required")
    document = plan_document(Planned("", found=impossible), "best-effort")
    assert not document["can_be_done"] and document["reason"] == "app would have to go"
    unchecked = PLAN._replace(unchecked=("whether apt would do this",))
    assert text(unchecked).splitlines()[-2:] == [
        "not checked: whether apt would do this",
        "can be undone: yes, as far as it was checked",
    ]
    assert plan_document(Planned("", found=unchecked), "best-effort")["can_be_done"]


def test_a_plan_of_nothing_is_short() -> None:
    nothing = Forecast(Plan(held_back=(HeldBack("mysql", "on hold"),)))
    assert text(nothing).splitlines() == [
        "an update would change nothing",
        "held back (1):",
        "  mysql: on hold",
        "0 changed, 0 new, 0 removed, 1 held back",
    ]


def test_a_plan_says_who_is_at_work_on_the_node() -> None:
    run = Run(7, "key", "v2", "update", "transact", 1.0, log="/var/log/7.log")
    document = plan_document(
        Planned("an update", found=PLAN), "best-effort", at_work="deployment x (UPDATE) (process 12)", open_runs=[run]
    )
    assert plan_text(document, PLAN.plan.changes).splitlines()[-3:] == [
        "at work: deployment x (UPDATE) (process 12)",
        "open: run 7 (update 'v2') is in phase transact; log: /var/log/7.log",
        "this plan may change once that run has finished",
    ]
    document = plan_document(Planned("an update", found=PLAN), "best-effort", open_runs=[run])
    assert (
        "  no os-update-agent is at it: 'os-update-agent resume' finishes or undoes it"
        in plan_text(document, PLAN.plan.changes).splitlines()
    )


def of(planned: Planned) -> List[str]:
    return plan_text(plan_document(planned, "best-effort"), planned.found.plan.changes).splitlines()


def test_a_download_and_an_assessment_change_nothing() -> None:
    lines = of(Planned("a download", "download", PLAN))
    assert lines[0] == "a download would fetch what this update takes, and change no package:"
    assert "  libssl3: 3.0.11-1 -> 3.0.14-1 [security]" in lines and lines[-1] == "download: 72.3 MB"
    assert of(Planned("a download", "download"))[0] == "a download would fetch nothing: there is nothing to update"
    lines = of(Planned("an assessment", "assess", PLAN))
    assert (
        lines[0] == "an assessment would report this update, and change no package:"
        and lines[-1] == "can be undone: yes"
    )


def test_a_stop_and_a_start_tell_each_service() -> None:
    some = (("db.service", "active", True), ("web.service", "inactive", False))
    assert of(Planned("a stop", "stop", units=some)) == [
        "a stop would stop services, and touch no package:",
        "  db.service: active",
        "  web.service: inactive, and stays so",
    ]
    assert (
        of(Planned("a stop for 'v1'", "start", units=some[1:], why="an old value is back: the services have to run"))[0]
        == "a stop for 'v1' would find nothing to start, and touch no package (an old value is back: the services have"
        " to run):"
    )
    assert (
        Planned("a stop", "stop", units=some).changes_something
        and not Planned("a stop", "stop", units=some[1:]).changes_something
    )
    assert of(Planned("a download for 'v1'", "nothing", why="an old value is back")) == [
        "a download for 'v1' would do nothing: an old value is back",
    ]


def test_an_operation_is_called_by_its_value() -> None:
    assert [called("update", "v2"), called("stop", "v2"), called("assess", "")] == [
        "an update to 'v2'",
        "a stop for 'v2'",
        "an assessment",
    ]


def test_an_unknown_size_is_not_called_zero() -> None:
    assert "on the disk: not known before the download" in text(PLAN._replace(plan=replace(PLAN.plan, growth=None)))


def test_kernel_and_libc_ask_for_a_boot_and_a_removed_kernel_does_not() -> None:
    changes = [
        Change(None, KERNEL),
        Change(KERNEL, None),
        Change(OLD, NEW),
        Change(Package("libc6", "amd64", "1"), Package("libc6", "amd64", "2")),
    ]
    assert asking_for_a_boot(changes, RebootHints(("linux-image-*", "libc6"))) == (KERNEL.name, "libc6")


def test_services_are_found_by_the_code_that_they_run(tmp_path: Path) -> None:
    for pid, unit, path in (
        (10, "nginx", "/usr/lib/x86_64-linux-gnu/libssl.so.3"),
        (11, "cron", "/usr/sbin/cron"),
        (12, "", "/usr/lib/libssl.so.3"),
    ):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "cgroup").write_text(
            f"0::/system.slice/{unit}.service\n" if unit else "0::/user.slice/x.scope\n"
        )
        (tmp_path / str(pid) / "maps").write_text(
            f"7f00-7f01 r-xp 0000 fe:00 1    {path}\n7f02-7f03 rw-p 0000 fe:00 1    /var/x\n"
        )
    assert services_with(frozenset({"/lib/x86_64-linux-gnu/libssl.so.3", "/etc/x"}), Path("/"), tmp_path) == (
        "nginx.service",
    )
    assert services_with(frozenset({"/usr/sbin/cron"}), Path("/srv/root"), tmp_path) == ()


def told_history(width: Optional[int]) -> List[str]:
    """Of two values of the usual kind, one of them never reached."""
    values = [
        {"value": f"2026-11-{day}T10:00:00Z", "current": day == 24, "reached": when and f"2026-11-{day}T10:00:07Z",
         "tried": f"2026-11-{day}T10:00:02Z", "kept": bool(when), "run": day}
        for day, when in ((24, True), (25, None))
    ]  # fmt: skip
    failure = "package webapp: its postinst ended with exit status 1, and so did that of the version before"
    runs = [
        run_document(
            Run(
                day,
                "k",
                f"2026-11-{day}T10:00:00Z",
                "update",
                "finished",
                1.0,
                finished=4.0,
                failure=why,
                log="/log/1.log",
            ),
            7,
        )
        for day, why in ((25, failure), (24, ""))
    ]
    return history_text(
        {
            "keys": [{"key": "stack/server", "current": None, "values": values, "old": False}],
            "runs": runs,
            "damaged": [],
        },
        width,
    ).splitlines()


def test_a_history_keeps_within_the_width_of_a_terminal() -> None:
    wide = told_history(None)
    assert told_history(400) == wide and max(map(len, wide)) > 140 and "left out" not in "".join(wide)
    heads = [line.split() for line in wide if "VALUE" in line]
    assert heads == [
        ["VALUE", "REACHED", "TRIED", "FILES", "RUN"],
        ["RUN", "KIND", "VALUE", "STARTED", "SECONDS", "RESULT", "CHANGED", "HELD", "WHY"],
    ]
    usual = told_history(80)
    assert [line.split() for line in usual if "VALUE" in line] == [
        ["VALUE", "REACHED", "FILES", "RUN"],
        ["RUN", "KIND", "VALUE", "RESULT", "CHANGED", "WHY"],
    ]
    assert max(map(len, usual)) <= 80 and any(line.endswith("...") for line in usual)
    assert usual[-1] == "left out here: TRIED, SECONDS, HELD, STARTED ('history | cat' shows all)"
    # What is needed to know one value from another is cut last.
    assert sum("'2026-11-24T10:00:00Z'" in line for line in usual) == 2
    assert (
        max(map(len, told_history(40)[1:-2])) <= 40
        and sum("'2026-11-24T10:00:00Z'" in line for line in told_history(40)) == 2
    )


def test_each_option_is_shown_with_its_value_and_its_source() -> None:
    last = Policy(value="it's\nv1", packages=("web*", "db"), lock_timeout=0.5)
    found = options_document(choose("", "key", {"keep": "7", "deadline": "90"}, last, {"select": "all"}), last.value)
    lines = option_lines(found)
    assert lines[0] == "options:" and len(lines) == len(found) + 1
    source = 'the last delivery, value "it\'s\\nv1", or agent.conf at that time'
    assert {
        "  select = all  (the command line)",
        f"  packages = web* db  ({source})",
        "  exclude = none  (default)",
        "  keep = 7  (agent.conf)",
        "  deadline = 90  (agent.conf)",
        f"  lock_timeout = 0.5  ({source})",
    } <= set(lines)
    # A delivery without a value, and one by an agent that stores the origins.
    (line,) = option_lines({"keep": {"value": 7, "origin": "the last delivery", "delivered_value": ""}})[1:]
    assert line == "  keep = 7  (the last delivery)"
