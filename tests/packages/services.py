"""What stands for systemd where a private root has none: a program that keeps a state for each unit and does what
systemctl would.
"""

import os
import stat
from pathlib import Path
from typing import List

# A unit that is "stuck" stays as it is and systemctl says so; one that is "faint" is started, and ends at once; one
# that is a "liar" does what it is told though systemctl ends with a failure.
SCRIPT = """\
#!/bin/sh
cd '{directory}' || exit 1
echo "$*" >> calls
verb=$1
while [ "$1" != -- ]; do shift; done
shift
status=0
for unit; do
    known=$(cat "units/$unit" 2>/dev/null || echo none)
    behaviour=$(cat "behaviour/$unit" 2>/dev/null || echo normal)
    case $verb in
    show)
        [ "$known" = none ] && load=not-found active=inactive || load=loaded active=$known
        printf 'LoadState=%s\\nActiveState=%s\\n\\n' "$load" "$active"
        continue ;;
    stop) new=inactive ;;
    start) new=active ;;
    esac
    case $behaviour in
    stuck) echo "Job for $unit failed." >&2; status=1; continue ;;
    faint) [ $verb = start ] && new=failed ;;
    liar) status=1 ;;
    esac
    echo $new > "units/$unit"
done
exit $status
"""


class Services:
    """Units by their names, and the program that answers for them."""

    def __init__(self, directory: Path, *running: str) -> None:
        self.directory = directory
        for name in ("units", "behaviour"):
            (directory / name).mkdir(parents=True)
        self.program = directory / "systemctl"
        self.program.write_text(SCRIPT.format(directory=directory), encoding="utf-8")
        os.chmod(self.program, stat.S_IRWXU)
        for unit in running:
            self.set(unit, "active")

    def set(self, unit: str, state: str) -> None:
        (self.directory / "units" / unit).write_text(f"{state}\n", encoding="utf-8")

    def behave(self, unit: str, behaviour: str) -> None:
        (self.directory / "behaviour" / unit).write_text(f"{behaviour}\n", encoding="utf-8")

    def state(self, unit: str) -> str:
        return (self.directory / "units" / unit).read_text(encoding="utf-8").strip()

    def calls(self) -> List[str]:
        """How it was called, "stop -- a.service", questions left out; and forgotten by this."""
        path = self.directory / "calls"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line for line in lines if not line.startswith("show ")]
