"""The frozen values that flow through the agent, the names of their parts, and the errors."""
