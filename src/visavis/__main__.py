"""`python -m visavis`."""

from __future__ import annotations

import sys

from visavis.cli.main import app

sys.exit(app())
