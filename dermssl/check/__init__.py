"""The health report of a data set: `python -m dermssl check`."""
