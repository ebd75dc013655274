"""Fuzzing: inputs from elsewhere, mutated, must end with a value or with an error that an operator can read."""
