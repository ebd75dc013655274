"""tests/run fuzz N SEED"""

import sys

from fuzz.fuzz import main

if len(sys.argv) != 3:
    sys.exit("usage: tests/run fuzz N SEED, such as: tests/run fuzz 1000000 1")
sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
