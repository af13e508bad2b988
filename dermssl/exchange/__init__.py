"""Encoders from and for other libraries: `python -m dermssl import` and `export`."""
