"""The node as the sequences see it."""
