"""The worker, made to die: python killed_worker.py NUMBER before|after. It kills itself with SIGKILL at its NUMBERth durable write."""

import os
import signal
import sys
from contextlib import contextmanager
from typing import Any, Iterator

from os_update_agent import worker
from os_update_agent.ledger import Ledger


def main() -> int:
    number, when = int(sys.argv[1]), sys.argv[2]
    done = 0
    original = Ledger._transaction

    @contextmanager
    def counted(self: Ledger) -> Iterator[Any]:
        nonlocal done
        done += 1
        with original(self) as db:
            yield db
            if done == number and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
        if done == number and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)

    Ledger._transaction = counted  # type: ignore[method-assign]
    return worker.main()


if __name__ == "__main__":
    sys.exit(main())
