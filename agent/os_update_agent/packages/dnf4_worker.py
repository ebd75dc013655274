"""The entry of the child that speaks dnf 4's own API: ``python3 -I -B dnf4_worker.py REQUEST ANSWER``.

It runs under the system's Python (3.6 or later), which has the bindings dnf, libdnf and rpm; the agent's own Python may be another
one. REQUEST is a JSON file: "action", "root", and what the action needs; ANSWER is written in one step, as {"answer": ...},
{"busy": why} or {"error": why}. What dnf and scriptlets print goes to the standard output, which is nobody's data.
"""

import json
import os
import signal
import sys
import traceback
from typing import Any, Dict


def main(request_path: str, answer_path: str) -> int:
    # Appended, never first: a module beside this one is called dnf, too.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    with open(request_path, encoding="utf-8") as file:
        request = json.load(file)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        # rpm finishes its transaction and dies then; dnf would be left without its record. No SIG_IGN: scriptlets would inherit it.
        signal.signal(number, lambda *_: None)
    answer = _answer(request)
    staging = answer_path + ".new"
    with open(staging, "w", encoding="utf-8") as file:
        json.dump(answer, file)
    os.replace(staging, answer_path)
    return 0 if "answer" in answer else 1


def _answer(request: Dict[str, Any]) -> Dict[str, Any]:
    try:
        import dnf.exceptions  # type: ignore
    except ImportError as error:
        return {"error": f"{sys.executable} has no bindings of dnf 4: {error}"}
    from os_update_agent.packages import dnf4_base, dnf4_fetch, dnf4_interrupted, dnf4_solver, dnf4_transaction

    actions = {
        "refresh": dnf4_base.refresh,
        "reasons": dnf4_base.reasons,
        "candidates": dnf4_solver.candidates,
        "available": dnf4_fetch.available,
        "fetch": dnf4_fetch.fetch,
        "effect": dnf4_transaction.effect,
        "transact": dnf4_transaction.transact,
        "mark": dnf4_transaction.mark,
        "complete": dnf4_interrupted.complete,
    }
    base = None
    try:
        base = dnf4_base.opened(request)
        return {"answer": actions[request["action"]](base, request)}
    except dnf.exceptions.LockError as error:
        return {"busy": str(error)}
    except (dnf.exceptions.Error, dnf4_base.Refused, OSError) as error:
        return {"error": str(error).strip() or type(error).__name__}
    except Exception as error:
        # hawkey and libdnf raise classes of their own, without one parent.
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        if base is not None:
            base.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
