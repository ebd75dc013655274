"""The words of the agent: phrases about packages and changes, and the text of a result. Pure."""
