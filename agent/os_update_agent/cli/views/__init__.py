"""The output of the reading verbs: a document for --json, and its text for people. Pure."""

from os_update_agent.cli.views.base import JSON_SCHEMA, Document, as_json
from os_update_agent.cli.views.history import history_document, history_text, state_document, value_document
from os_update_agent.cli.views.options import option_lines, options_document
from os_update_agent.cli.views.plan import Planned, called, plan_document, plan_text
from os_update_agent.cli.views.selftest import checked_lines, selftest_document, selftest_text
from os_update_agent.cli.views.signals import signal_document, signal_line
from os_update_agent.cli.views.states import Compared, diff_document, diff_text, show_document, show_text
from os_update_agent.cli.views.status import Ahead, status_document, status_text

__all__ = [
    "JSON_SCHEMA",
    "Ahead",
    "Compared",
    "Document",
    "Planned",
    "as_json",
    "called",
    "checked_lines",
    "diff_document",
    "diff_text",
    "history_document",
    "history_text",
    "option_lines",
    "options_document",
    "plan_document",
    "plan_text",
    "selftest_document",
    "selftest_text",
    "show_document",
    "show_text",
    "signal_document",
    "signal_line",
    "state_document",
    "status_document",
    "status_text",
    "value_document",
]
