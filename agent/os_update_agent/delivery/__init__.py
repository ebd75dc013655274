"""One delivery, from its arrival to the result that Heat accepted."""
