"""Rules that decide from values: what a delivery asks for, the order of values, what is restarted. Pure."""
