"""`python -m orchestrator`: the same as the command `saga`."""

from __future__ import annotations

import sys

from orchestrator.cli import main

sys.exit(main())
