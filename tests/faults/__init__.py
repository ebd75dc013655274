"""The list of faults: each is provoked for real, on a real node in a private root, and must be survived.

``tests/run faults`` provokes all of them, ``tests/run faults NAME...`` these; the cheap ones are tests of pytest, too.
A fault is survived if the hook prints one JSON object, the result is true, nothing is half-done, and the next
delivery works.
"""
