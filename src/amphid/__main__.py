"""`python -m amphid` is the command `amphid`."""

import sys

from amphid.interfaces.command_line import main

if __name__ == "__main__":
    sys.exit(main())
