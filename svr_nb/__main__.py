"""`python -m svr_nb` is the command `svr_nb`, for launchers that take a module."""

from __future__ import annotations

import sys

from svr_nb.app.command_line import main

if __name__ == "__main__":
    sys.exit(main())
