"""Visavis gives any conversational agent a face."""

import os

# The models have threads of their own; numpy's would only spin beside them. Read when numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

__version__ = "0.1.0"
