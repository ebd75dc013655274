"""All that knows Heat. Knows no package manager."""
