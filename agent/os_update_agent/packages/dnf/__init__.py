"""dnf 4 and dnf 5: their records, settings and locks, and the worker that speaks their API."""
