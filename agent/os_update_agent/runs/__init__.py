"""One run, from the check of the package database to the record in the history."""
