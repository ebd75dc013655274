"""The phases of a run: each a function from one run at work to the run as it goes on, with the next phase in it.

Every phase takes all that it needs from the run in the ledger, and can be the last one that happened.
"""
