"""The agent's places on a node: which files go where, and putting them there."""
