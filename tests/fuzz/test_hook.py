"""100 calls of the whole hook with mutated deployments, settings and environments: tests/run fuzz-hook runs more."""

import subprocess

from fuzz.hook import command, environment

INPUTS = 100
SEED = 1


def test_the_hook_answers_every_input_with_one_object_and_changes_only_what_it_says() -> None:
    done = subprocess.run(command(INPUTS, SEED), env=environment(), capture_output=True, text=True, timeout=3600)
    assert done.stdout.endswith(f"{INPUTS} inputs, {INPUTS} survived\n"), done.stdout + done.stderr
    assert done.returncode == 0
