"""rpm alone: what its database and its package files hold. Knows no dnf."""
