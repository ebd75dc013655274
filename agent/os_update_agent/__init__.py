"""os-update-agent: a value goes in, a package state comes out, the truth is reported, and going back works."""

__version__ = "0.1.0"
