"""os-update-agent selftest: what cannot be known about this node from elsewhere; changes nothing."""

import argparse
from typing import List

from os_update_agent.cli import views
from os_update_agent.cli.output import answer, write_line
from os_update_agent.config.settings import Settings
from os_update_agent.selftest.findings import FAILED, Checked


def command(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print each finding as soon as there is one. Returns the exit status: 1 if a check failed."""
    from os_update_agent.selftest.checks import selftest  # late: no other verb needs the checks

    checked: List[Checked] = []
    for one in selftest(settings):
        checked.append(one)
        if not arguments.json:
            for line in views.checked_lines(one):
                write_line(line)
    document = views.selftest_document(str(settings.root), checked)
    answer(arguments, document, views.selftest_text(document))
    return 1 if any(one.finding.result == FAILED for one in checked) else 0
