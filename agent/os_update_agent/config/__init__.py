"""What the operator and the template ask for: agent.conf, the options, and the checked policy."""
