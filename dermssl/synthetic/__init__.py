"""Drawn dermoscopy: `python -m dermssl synthesize`."""
