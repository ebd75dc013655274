"""tests/run faults [NAME...]"""

import sys
import time
import traceback

from faults.fault import laboratory, table


def main() -> int:
    """Provoke the named faults, or all. Return the exit status: 1 unless all were survived."""
    chosen = table(sys.argv[1:])
    good = 0
    with laboratory() as lab:
        for fault in chosen:
            begun = time.monotonic()
            try:
                fault.provoke(lab)
                good += 1
                print(f"{fault.name}: survived ({time.monotonic() - begun:.1f} s)", flush=True)
            except Exception:
                print(f"{fault.name}: NOT survived: {fault.text}\n{traceback.format_exc()}", flush=True)
    print(f"{len(chosen)} faults, {good} survived")
    return int(good != len(chosen))


if __name__ == "__main__":
    sys.exit(main())
