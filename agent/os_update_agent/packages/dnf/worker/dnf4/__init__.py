"""Requests answered with dnf 4."""
