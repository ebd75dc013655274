"""The variables of the environment that a child process inherits.

They come from root's own shell or service, but they may lead into a directory of somebody else: su(1) and some
configurations of sudo keep PATH and HOME of the user, and dpkg runs the commands that it finds in $HOME/.dpkg.cfg as
root, rpm those in $HOME/.rpmmacros. So a variable that names a place is kept only if the place is trusted
(trusted_paths.py), and what makes an interpreter run other code is left out, as sudo does (sudo: env_delete).

LD_PRELOAD and its like stay: the loader has obeyed them when the agent itself started.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Dict, Mapping

from os_update_agent.node.trusted_paths import Untrusted, check_trusted

# apt and dpkg need programs in the directories sbin.
_PROGRAMS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
# These name a directory in which programs read settings or make temporary files.
_DIRECTORIES = ("TMPDIR", "TMP", "TEMP", "TEMPDIR", "GNUPGHOME", "RPM_CONFIGDIR", "TERMINFO")
_DIRECTORY_FAMILY = "XDG_"
# These name a file of settings.
_FILES = ("APT_CONFIG", "WGETRC", "OPENSSL_CONF")
# Their programs, or the agent's own calls, decide on these; a maintainer script that has started the agent sets DPKG_*.
_LEFT_OUT = frozenset(
    {
        *("BASHOPTS", "BASH_ENV", "CDPATH", "ENV", "GLOBIGNORE", "IFS", "PS4", "SHELLOPTS", "ZDOTDIR"),
        *("PERL5DB", "PERL5LIB", "PERL5OPT", "PERLIO_DEBUG", "PERLLIB", "RUBYLIB", "RUBYOPT", "JAVA_TOOL_OPTIONS"),
        *("HOSTALIASES", "LOCALDOMAIN", "NLSPATH", "PATH_LOCALE", "RES_OPTIONS", "TERMCAP"),
    }
)
_LEFT_OUT_FAMILIES = ("PYTHON", "DPKG_", "BASH_FUNC_")
_HOME_OF_ROOT = "/root"


def inherited(environment: Mapping[str, str]) -> Dict[str, str]:
    """Return the variables that a child may have."""
    kept = {name: value for name, value in environment.items() if _is_kept(name, value)}
    kept["PATH"] = trusted_path(os.pathsep.join((environment.get("PATH", ""), *_PROGRAMS)))
    if "HOME" in kept and not _is_trusted_directory(kept["HOME"], for_new_files=False):
        kept["HOME"] = _HOME_OF_ROOT if os.geteuid() == 0 else "/"
    return kept


def _is_kept(name: str, value: str) -> bool:
    if name in _LEFT_OUT or name.startswith(_LEFT_OUT_FAMILIES):
        return False
    if name in _FILES:
        return os.path.isfile(value) and _is_trusted(value)
    if name in _DIRECTORIES or name.startswith(_DIRECTORY_FAMILY):
        return _is_trusted_directory(value)
    return True


@lru_cache(maxsize=8)
def trusted_path(given: str) -> str:
    """Return the directories of a PATH to which nobody else may write."""
    places = dict.fromkeys(given.split(os.pathsep))
    return os.pathsep.join(place for place in places if _is_trusted_directory(place, for_new_files=False))


@lru_cache(maxsize=64)
def _is_trusted_directory(place: str, for_new_files: bool = True) -> bool:
    """Say whether only root, or this process's own user, decides on the files in the directory.

    ``for_new_files``: a sticky directory such as /tmp will do, because nobody can replace a file of another user there.
    """
    return os.path.isdir(place) and _is_trusted(os.path.join(place, "file") if for_new_files else place)


def _is_trusted(place: str) -> bool:
    if not os.path.isabs(place):
        return False
    try:
        # What exists in a sticky directory cannot be replaced by anybody else.
        check_trusted(Path(place), is_trial=True, link=True)
    except Untrusted:
        return False
    return True
