"""The differences that a way back may leave, each with its reason; everything else is a fault. Pure."""

import re
from typing import List, NamedTuple, Optional, Sequence, Tuple

from real.tree import Difference

ANY = ("new", "missing", "type", "mode", "owner", "content", "attributes")


class Rule(NamedTuple):
    """Which differences are allowed, and why.

    Attributes:
        pattern: A regular expression that matches the whole path.
        parts: What may differ (see Difference.parts).
        reason: Why nothing is lost.
    """

    pattern: str
    parts: Tuple[str, ...]
    reason: str


RULES: Sequence[Rule] = (
    Rule(r"/var/log/.*", ANY, "logs"),
    Rule(r"/var/cache/apt/.*|/var/lib/apt/(lists|periodic)/.*", ANY, "apt's caches and lists"),
    Rule(r"/var/cache/(man|ldconfig|fontconfig|apparmor)/.*", ANY, "caches that programs make anew"),
    Rule(r"/var/cache/debconf/.*-old", ANY, "the database before debconf's last change"),
    Rule(r"/var/cache/debconf/(config|templates|passwords)\.dat", ("content",), "debconf's memory of questions"),
    Rule(r"/var/lib/dpkg/(status|available)", ("content",), "rows are compared by themselves; order and notes of dpkg"),
    Rule(r"/var/lib/apt/extended_states", ("content",), "marks are compared by themselves; the order of stanzas"),
    Rule(r"/var/lib/dpkg/(diversions|statoverride)", ("content",), "compared by themselves; the order of lines"),
    Rule(r"/var/lib/dpkg/.*-old", ANY, "the database before dpkg's last change"),
    Rule(r"/var/lib/dpkg/(lock|lock-frontend|triggers/Lock)", ANY, "locks"),
    Rule(r"/var/lib/dpkg/updates/tmp\.i", ANY, "the journal that dpkg has not begun"),
    Rule(r"/var/lib/dpkg/triggers/(File|Unincorp)", ("content", "new", "missing"), "interests; the order of lines"),
    Rule(r".*/__pycache__(/.*)?|.*\.pyc", ANY, "compiled Python"),
    Rule(r"/etc/ld\.so\.cache", ("content",), "made by ldconfig on the node"),
    Rule(r"/boot/initrd\.img-.*", ("content",), "an initramfs is built on the node"),
    Rule(r"/lib/modules/[^/]*/modules\..*|/usr/lib/modules/[^/]*/modules\..*", ("content",), "made by depmod"),
    Rule(r"/var/backups/.*", ANY, "backups"),
    Rule(r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-", ANY, "backups of the tools for accounts"),
    Rule(r"/var/lib/ucf/(registry|hashfile)\.\d+", ANY, "backups that ucf makes"),
    Rule(r"/etc/.*\.(dpkg|ucf)-(old|dist|new|bak)", ("new", "content", "missing"), "packaged text beside an edit"),
    Rule(r"/(tmp|var/tmp|run)/.*", ANY, "volatile"),
    Rule(r"/var/lib/mysql/mysql_upgrade_info", ("owner",), "MariaDB's script gives its data to its own user"),
)


class Judged(NamedTuple):
    """A difference with the reason that allows it, None if nothing does."""

    difference: Difference
    reason: Optional[str]


def judge(differences: Sequence[Difference], rules: Sequence[Rule] = RULES) -> List[Judged]:
    """Return every difference with the reason of the first rule that allows all that differs."""
    patterns = [(re.compile(rule.pattern), rule) for rule in rules]

    def reason(difference: Difference) -> Optional[str]:
        for pattern, rule in patterns:
            if pattern.fullmatch(difference.path) and set(difference.parts) <= set(rule.parts):
                return rule.reason
        return None

    return [Judged(difference, reason(difference)) for difference in differences]
