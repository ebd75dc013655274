"""A world in one directory to try the agent in: a repository, a private root, a receiver of signals. Needs no network
and no root.
"""
