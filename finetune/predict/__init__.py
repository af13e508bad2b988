"""Masks of new pictures: `python -m finetune.predict` and `python -m finetune.ensemble`."""
