"""The options that apt-get and dpkg are called with. Of several values of one option the last one wins, so these win
over the node's apt.conf. Pure.
"""

from typing import Mapping, Tuple

from os_update_agent.model.options import ConfigFiles

# The last option wins (dpkg(1), --force-things): the node's apt.conf may hold others.
CONFIG_FILES: Mapping[ConfigFiles, Tuple[Tuple[str, ...], Mapping[str, str]]] = {
    "keep": (("--no-force-confnew", "--force-confdef", "--force-confold"), {"UCF_FORCE_CONFFOLD": "1"}),
    "replace": (("--no-force-confdef", "--no-force-confold", "--force-confnew"), {"UCF_FORCE_CONFFNEW": "1"}),
}
# apt refuses these under -y unless an option allows them. A way back may need all of them, a way forward none.
REFUSED_BY_YES = ("--allow-downgrades", "--allow-change-held-packages", "--allow-remove-essential")
FORCED = (
    *REFUSED_BY_YES,
    *("-o", "APT::Get::Remove=true", "-o", "APT::Get::Purge=false", "-o", "APT::Get::Download-Only=false"),
    *("-o", "Dpkg::Options::=--force-downgrade"),
)
# apt configures an essential package as soon as it is unpacked (apt.conf(5)), on a way back also while an installed
# package of the newer release breaks it.
ORDER = ("-o", "APT::Immediate-Configure=false")
NETWORK = ("-o", "Acquire::Retries=3", "-o", "Acquire::http::Timeout=30", "-o", "Acquire::https::Timeout=30")
# apt refuses each request while no repository has the release that the node prefers.
NO_RELEASE = ("-o", "APT::Default-Release=")
# A transaction takes the given files. Otherwise apt prefers the file of a repository that has the same version, and
# removes ours if its size differs. The caches are not written: they are those of the repositories.
FILES_ALONE = (
    *("-o", "Dir::Etc::SourceList=/dev/null", "-o", "Dir::Etc::SourceParts=/dev/null"),
    *("-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="),
    *NO_RELEASE,
)
# The plan names every removal, so apt-get need not ask anybody.
AS_PLANNED = (
    *("-o", "APT::Get::AutomaticRemove=false", "-o", "APT::Get::AutomaticRemove::Kernels=false"),
    *("-o", "APT::Get::Trivial-Only=false", "-o", "APT::Get::Print-URIs=false"),
    *("-o", "APT::Get::Upgrade=true", "-o", "APT::Get::Only-Upgrade=false", "-o", "APT::Get::ReInstall=false"),
    *("-o", "APT::Get::Fix-Broken=false", "-o", "APT::Get::Fix-Missing=false"),
)
# For a node whose apt.conf names a program: nothing is left to decide in a transaction.
OWN_SOLVER = ("-o", "APT::Solver=internal")
# With these settings in apt.conf, apt-get would only print what it is asked to do. No part of a simulation's options.
ACTS = (
    *("-o", "APT::Get::Simulate=false", "-o", "APT::Get::Print-URIs=false", "-o", "APT::Get::Download=true"),
    *("-o", "Debug::pkgDPkgPM=false"),
)
