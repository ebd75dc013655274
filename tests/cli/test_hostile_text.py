"""Hostile text in every field that comes from elsewhere, and a look at everything that is shown, logged, or stored for
others. The fields are found by their annotations; a class of the model whose text nothing here shows is an error.
"""

import dataclasses
import io
import json
import logging
import pkgutil
from importlib import import_module
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Set, get_type_hints

import pytest

from cli.inside import InsideNode, inside, prepared, quick_directory
from hostile import FORGED, HOSTILE, STORABLE, Maker, faults
from os_update_agent import model
from os_update_agent.cli import views
from os_update_agent.cli.output import complain
from os_update_agent.cli.progress import Display, Watcher
from os_update_agent.config.settings import Settings
from os_update_agent.delivery.metrics import Facts as MetricFacts
from os_update_agent.delivery.metrics import exposition
from os_update_agent.heat.outcome import encode
from os_update_agent.ledger import Ledger
from os_update_agent.model.deliveries import Delivery, Deployment, Outcome, OwedSignal, Request
from os_update_agent.model.etc_files import EtcFile
from os_update_agent.model.package_files import ArchiveEntry
from os_update_agent.model.packages import Change, Package, PackageState
from os_update_agent.model.policy import Policy
from os_update_agent.model.runs import History, Progress, Run
from os_update_agent.model.settings import Setting
from os_update_agent.node.journal import Dated, ForTheJournal
from os_update_agent.runtime.context import Site
from os_update_agent.text import outcomes
from os_update_agent.text.log_lines import logged
from os_update_agent.text.printable import printable, printable_lines

CHOICES = range(6)
# Classes whose text is never shown as it is, and why.
NOT_SHOWN = {
    "Aftercare": "the order to a backend; its packages are those of a state",
    "Transaction": "the order to a backend; its packages are those of a plan",
    "Selection": "options, which are checked before",
    "Offer": "checksums of a repository, which are compared only",
    "Choice": "a part of an Alternative, made from a Setting",
    "Alternative": "a part of a Setting, which is shown",
    "PackagedText": "a hash, which is compared only",
    "Step": "listings that are compared only; their paths are those of a Difference",
}


# --- views of anything


def view_documents() -> List[str]:
    return sorted(name for name in views.__all__ if name.endswith("_document") and name != "state_document")


def made_document(maker: Maker, name: str) -> Dict[str, Any]:
    function = getattr(views, name)
    # What a package database says has no half surrogate pairs: it is decoded with replacements.
    packages = (Maker(STORABLE).value(Package),)
    maker.given = {"names": (HOSTILE, HOSTILE), **maker.given, "PackageState.packages": packages}
    document: Dict[str, Any] = function(**maker.arguments(function))
    return document


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("name", view_documents())
def test_a_document_of_hostile_values_is_printable_json(name: str, choice: int) -> None:
    text = views.as_json(made_document(Maker(choice=choice), name))
    assert faults(text) == []
    assert json.loads(text)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("width", [None, 40])
def test_the_text_of_hostile_values_is_printable(choice: int, width: Optional[int]) -> None:
    maker = Maker(choice=choice)
    changes = [maker.value(Change)]
    compared = maker.value(views.Compared)
    show = {**made_document(maker, "value_document"), **made_document(maker, "show_document")}
    planned = [made_document(maker, "plan_document")]
    planned += [{**planned[0], "operation": operation} for operation in ("update", "stop", "nothing", "download")]
    signal = made_document(maker, "signal_document")
    texts = [
        views.status_text(made_document(maker, "status_document")),
        views.history_text(made_document(maker, "history_document"), width),
        views.show_text(show, changes),
        views.diff_text(compared),
        *(views.plan_text(document, changes) for document in planned),
        *(views.plan_text(document, []) for document in planned),
        *(printable(views.signal_line(standing, signal)) for standing in ("owed", "superseded", "refused")),
    ]
    for text in texts:
        assert faults(printable_lines(text)) == [], text[:200]


# --- results, log lines, metrics


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("reached", [True, False])
def test_a_result_of_hostile_values_is_printable(choice: int, reached: bool) -> None:
    maker = Maker(choice=choice, given={"Progress.reached": reached, "log_tail": ""})
    maker.given = {**maker.given, "Run.policy": {**maker.value(Policy).as_json()}}
    is_switch = maker.value(Run).switches_services
    left_out = "outcome_of_run" if is_switch else "outcome_of_switch"
    functions = [one for name, one in vars(outcomes).items() if name.startswith("outcome_of_") and name != left_out]
    assert len(functions) > 3
    made = [function(**maker.arguments(function)) for function in functions]
    for outcome in made:
        body = encode(outcome, maker.value(Request).outputs, full_text=HOSTILE, secrets=["s3cret"])
        assert body.isascii() and body.isprintable()
        stored = json.loads(body)
        for name in ("deploy_stdout", "deploy_stderr"):
            assert faults(stored[name]) == [], stored[name][:300]


@pytest.mark.parametrize("formatter", [Dated(), ForTheJournal()])
def test_a_line_of_a_log_is_one_printable_line(formatter: logging.Formatter) -> None:
    record = logging.LogRecord("x", logging.ERROR, "f", 1, logged(value=HOSTILE, other=HOSTILE[:20]), None, None)
    assert formatter.format(record).isprintable()


def test_metrics_hold_no_text_from_elsewhere() -> None:
    text = exposition(Maker().value(MetricFacts))
    assert faults(text) == []
    assert "title" not in text and "FORGED" not in text


def test_a_complaint_with_lines_of_another_program_forges_none(capsys: pytest.CaptureFixture[str]) -> None:
    complain(f"os-update-agent: {HOSTILE}\nnext: do this")
    err = capsys.readouterr().err
    assert "next: do this" in err.splitlines()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_printable(is_terminal: bool, tmp_path: Path) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return is_terminal

    stream = Stream()
    site = Site(Settings(state=tmp_path, log=tmp_path, run=tmp_path), Ledger(tmp_path / "ledger.sqlite"))
    watcher = Watcher(site, stream)
    watcher(dataclasses.replace(Maker(STORABLE).value(Run), id=1))
    watcher.sending(HOSTILE)
    display = Display(site, stream)
    display.show(HOSTILE)
    display.say(HOSTILE)
    watcher.close()
    shown = stream.getvalue().replace("\r\x1b[K", "\n")
    assert faults(shown) == []


# --- a ledger with hostile rows, and everything that reads it


def with_hostile_rows(path: Path) -> None:
    """Store a hostile value of everything that a ledger holds."""
    maker = Maker(STORABLE)
    plain = Maker(STORABLE.replace("\n", "").replace("\t", ""))
    ledger = Ledger(path)
    states = []
    for version in ("1", "2"):
        packages = (plain.value(Package)._replace(version=f"{version}{plain.text}"),)
        settings = tuple(Setting(kind, HOSTILE, (HOSTILE,) * 3) for kind in ("diversion", "override", "module"))
        states.append(ledger.put_state(PackageState("apt", plain.text, packages, frozenset(), settings)))
    listings = [ledger.put_listing([maker.value(EtcFile)._replace(mode=mode).line()]) for mode in ("1", "2")]
    for number, value in enumerate((f"1{STORABLE}", f"2{STORABLE}")):
        run = maker.value(Run)
        run = dataclasses.replace(
            run,
            key=STORABLE,
            value=value,
            config_id=f"{number}{STORABLE}",
            kind="update",
            before=states[0],
            target=states[number],
            after=states[number],
            restored_from=None,
            etc_before=listings[0],
            etc_after=listings[number],
            policy=Policy().as_json(),
            plan=maker.value(Run).plan,
        )
        delivery = maker.value(Delivery)._replace(
            config_id=run.config_id,
            key=STORABLE,
            value=value,
            policy=Policy(key=STORABLE, value=value).as_json(),
            action="UPDATE",
            run=None,
            body=None,
            restore=None,
            started=None,
            finished=None,
        )
        ledger.receive(delivery)
        run = ledger.open_run(run)
        ledger.save_run(
            dataclasses.replace(run, finished=4.0, progress=Progress("changed", reached=True)), is_planned=True
        )
        ledger.record_reached(STORABLE, value, states[number], run.id, 4.0)
        body = encode(Maker().value(Outcome), (), full_text="")
        ledger.finish(run.config_id, body, delivery.request.signal if delivery.request else None, 5.0)
        ledger.settle(run.config_id, "owed" if number else "refused", STORABLE, 5.0)
    ledger.add_archive_entries([maker.value(ArchiveEntry)])
    # What cannot be read is named, too.
    with ledger._transaction() as db:
        db.execute(
            "INSERT INTO records (key, value, state, tried) VALUES (?, ?, ?, 'x')",
            ("orphan" + STORABLE, STORABLE, STORABLE),
        )
        db.execute("INSERT INTO histories (key, moved_by) VALUES (?, ?)", ("damaged" + STORABLE, STORABLE))
    ledger.close()


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with quick_directory() as directory:
        prepared(directory)
        (directory / "state").mkdir(mode=0o700)
        with_hostile_rows(directory / "state/ledger.sqlite")
        yield directory


VERBS = (
    ("status",),
    ("history",),
    ("show", f"1{STORABLE}", "--key", STORABLE),
    ("show", "run:2", "--key", STORABLE),
    ("show", STORABLE, "--key", STORABLE),
    ("diff", f"1{STORABLE}", f"2{STORABLE}", "--key", STORABLE),
    ("plan", f"1{STORABLE}", "--key", STORABLE, "--no-refresh"),
    ("plan", STORABLE, "--key", STORABLE, "--no-refresh"),
    ("forget", "--key", STORABLE, "--dry-run"),
    ("show", "x", "--key", f"no{STORABLE}"),
    ("update", "x", "--key", STORABLE, "--set", f"{STORABLE}=1"),
    ("update", "x", "--set", f"packages={STORABLE}"),
    ("prune",),
    ("replay", STORABLE.replace("\0", "")),
    ("notify", STORABLE.replace("\0", "")),
    (STORABLE,),
    ("resume", "--patience", "0"),
)


@pytest.mark.parametrize("number", range(len(VERBS)))
@pytest.mark.parametrize("json_too", [False, True])
def test_no_verb_shows_hostile_text_of_the_ledger(
    directory: Path, number: int, json_too: bool, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    inside(directory, monkeypatch)
    argv = VERBS[number]
    if json_too and argv[0] not in ("status", "history", "show", "diff", "plan"):
        return
    try:
        status, out, err = InsideNode(directory, capfd).call(*argv, *(["--json"] if json_too else []))
    except SystemExit as ended:
        status, (out, err) = int(str(ended.code)), capfd.readouterr()
    assert status in (0, 1, 2), err
    assert faults(out) == [] and faults(err) == [], out + err
    assert "bug in" not in err and "Traceback" not in err
    if json_too and out:
        json.loads(out)


HOSTILE_INPUTS: Sequence[Mapping[str, Any]] = (
    {"state_key": HOSTILE, "update_after_time": HOSTILE},
    {"update_after_time": HOSTILE},
    {HOSTILE: HOSTILE, "update_after_time": "v"},
    {"packages": HOSTILE},
    {"operation": "stop", "units": [HOSTILE], "update_after_time": "v"},
    {"deploy_server_id": HOSTILE},
    {"deploy_stack_id": HOSTILE},
    {"deploy_resource_name": HOSTILE},
    {"deploy_signal_transport": HOSTILE, "update_after_time": "v"},
    {"deploy_signal_transport": "CFN_SIGNAL", "deploy_signal_verb": HOSTILE, "deploy_signal_id": HOSTILE},
    {"trigger": HOSTILE, HOSTILE: "1"},
)


def test_a_delivery_of_hostile_inputs_is_answered_in_printable_json(
    directory: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    inside(directory, monkeypatch)
    node = InsideNode(directory, capsys)
    caplog.set_level(logging.DEBUG)
    for number, given in enumerate(HOSTILE_INPUTS):
        body = node.deliver(f"c{number}", **given)
        assert faults(body["deploy_stdout"]) == [] and faults(body["deploy_stderr"]) == [], body
        assert body["deploy_status_code"] in (0, 1, 2), body
    assert faults(capsys.readouterr().err) == []
    for record in caplog.records:
        assert record.getMessage().isprintable(), record.getMessage()[:300]


# --- nothing is forgotten


def model_classes() -> Set[type]:
    """The classes of the model that have a field with text."""
    found = set()
    for info in pkgutil.iter_modules(model.__path__):
        module = import_module(f"{model.__name__}.{info.name}")
        for kind in vars(module).values():
            if isinstance(kind, type) and kind.__module__ == module.__name__ and not kind.__name__.startswith("_"):
                is_value = hasattr(kind, "_fields") or dataclasses.is_dataclass(kind)
                if is_value and any("str" in str(one) or "Any" in str(one) for one in get_type_hints(kind).values()):
                    found.add(kind)
    return found


def test_every_text_of_the_model_is_covered() -> None:
    maker = Maker()
    for name in view_documents():
        maker.arguments(getattr(views, name))
    for kind in (Run, Delivery, OwedSignal, ArchiveEntry, PackageState, EtcFile, History, Outcome, Policy, Deployment):
        maker.value(kind)
    maker.value(views.Compared)
    maker.value(views.Planned)
    maker.value(outcomes.Facts)
    maker.value(MetricFacts)
    missing = {kind.__name__ for kind in model_classes() - maker.made} - {"Kind"}
    assert missing == set(NOT_SHOWN), "show hostile values of these, or say in NOT_SHOWN why they are not shown"


@pytest.mark.parametrize("key", ["owed to Heat: nothing, truly", "reboot required: not", f"{FORGED} it is"])
def test_a_key_cannot_pass_for_a_line_of_ours(key: str) -> None:
    known = [History(key, "v")]
    status = views.status_document(known, {}, None, 0, (), (), None, ())
    history = views.history_document(known, (), {key: ()})
    for text in (views.status_text(status), views.history_text(history)):
        assert not [line for line in text.splitlines() if line.startswith(key)]
        assert repr(key) in text
