"""Checks of this node that change nothing: facts that the project cannot know from its own test machines."""
