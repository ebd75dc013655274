"""rpm alone: what its database and its package files say. Knows no dnf."""
