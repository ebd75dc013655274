"""os-update-agent diff: the difference between the states of two values."""

import argparse
from typing import Optional, Sequence, Tuple

from os_update_agent.cli import views
from os_update_agent.cli.keys import etc_of, state_of
from os_update_agent.cli.output import answer
from os_update_agent.config.settings import Settings
from os_update_agent.model.etc_files import Difference, differences
from os_update_agent.model.packages import diff
from os_update_agent.model.settings import differing
from os_update_agent.packages.state import visible
from os_update_agent.runtime.context import Site, open_site


def command(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the difference. Returns the exit status; raises Unrecorded."""
    site = open_site(settings, reading=True)
    names = (arguments.a, arguments.b)
    first, second = (state_of(site, settings, arguments.key, name) for name in names)
    details = diff(first, second)
    changes = visible(details)
    compared = views.Compared(
        changes, details, differing(first.settings, second.settings), _files(site, settings, arguments.key, names)
    )
    return answer(arguments, views.diff_document(names, compared), views.diff_text(compared))


def _files(
    site: Site, settings: Settings, key: Optional[str], names: Sequence[str]
) -> Optional[Tuple[Difference, ...]]:
    """Return the files below /etc that differ; None if those of a value were not noted."""
    first, second = (etc_of(site, settings, key, name) for name in names)
    return None if first is None or second is None else differences(first, second)
