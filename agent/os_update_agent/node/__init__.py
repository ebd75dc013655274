"""All that knows the machine: processes, locks, scripts, reboots. Knows neither Heat nor packages."""
