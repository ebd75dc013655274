"""os-update-agent diff: the difference between the states of two values."""

import argparse

from os_update_agent.cli import views
from os_update_agent.cli.keys import state_of
from os_update_agent.cli.output import answer
from os_update_agent.config.settings import Settings
from os_update_agent.model.packages import diff
from os_update_agent.model.settings import differing
from os_update_agent.packages.state import visible
from os_update_agent.runtime.context import open_site


def command(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the difference. Returns the exit status; raises Unrecorded."""
    site = open_site(settings, reading=True)
    names = (arguments.a, arguments.b)
    first, second = (state_of(site, settings, arguments.key, name) for name in names)
    details = diff(first, second)
    changes = visible(details)
    differences = differing(first.settings, second.settings)
    document = views.diff_document(names, changes, details, differences)
    return answer(arguments, document, views.diff_text(changes, details, differences))
