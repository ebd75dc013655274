"""Loads what this process imports late, before a transaction can take it away (law 13).

Most imports of the agent are late because most deliveries find nothing to do. An update of Python removes the files of
the running interpreter's standard library (Fedora, a way back of Debian), and the process has to bring the run to its
end without them. The modules are named here in text, because they stand above this folder; a test compares the lists
with the late imports in the code.
"""

import importlib
import logging
import re
from typing import Iterable

from os_update_agent.text.log_lines import logged

log = logging.getLogger(__name__)

# Cheap to load: 20 ms. The parts of the standard library that its own functions import late belong here, too.
_SMALL = (
    *(
        "ast",
        "base64",
        "difflib",
        "email.utils",
        "hashlib",
        "hmac",
        "random",
        "shutil",
        "subprocess",
        "tempfile",
        "_strptime",
    ),
    *("encodings.ascii", "encodings.latin_1", "encodings.idna", "stringprep", "traceback", "linecache"),
    *("os_update_agent.node.process", "os_update_agent.node.reboot", "os_update_agent.node.transient_unit"),
    *("os_update_agent.delivery.metrics", "os_update_agent.heat.alternate_targets"),
)
_LARGE = (
    *("distro", "requests", "yaml", "keystoneauth1.exceptions", "keystoneauth1.identity.v3", "keystoneauth1.session"),
    *("os_update_agent.packages.archive", "os_update_agent.packages.implementations"),
    *("os_update_agent.packages.dnf.protocol", "os_update_agent.packages.worker.wire"),
)
# Packages whose files this process may be running from.
_PYTHON = re.compile(r"(lib|platform-)?python|os-update-agent")


def load_small() -> None:
    """Load what the rest of a delivery needs, for a process that waits for a run. Raises nothing."""
    _load(_SMALL)


def load_before(packages: Iterable[str]) -> None:
    """Load what the rest of a run may need, if its transaction changes one of these packages: Python, or the agent.

    Raises nothing.
    """
    if any(map(_PYTHON.match, packages)):
        _load((*_SMALL, *_LARGE))


def _load(names: Iterable[str]) -> None:
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            # A library may be missing on this node. The code that needs it reports that.
            log.info(logged(imported="no", module=name, why=error))
