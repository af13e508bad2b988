"""Watches a pretraining: signs of a step, looks at the encoder, what both mean."""
