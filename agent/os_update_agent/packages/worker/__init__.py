"""A child process of the system's Python that answers requests: shared by the package managers."""
