"""python -m os_update_agent"""

import sys

from os_update_agent.cli import main

sys.exit(main())
