"""Fetching data sets: `python -m dermssl download`."""
