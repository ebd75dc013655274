"""The process that opens apt's index through python-apt, run by the system's Python (3.9 and later)."""
