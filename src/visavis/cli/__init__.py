"""The `visavis` command: `main.py` has what it can do, the other modules how."""
