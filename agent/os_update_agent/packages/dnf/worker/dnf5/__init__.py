"""Requests answered with dnf 5."""
