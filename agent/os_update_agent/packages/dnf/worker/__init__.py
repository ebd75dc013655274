"""The process that loads dnf, run by the system's Python (3.6 and later)."""
