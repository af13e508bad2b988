"""Whole factorials of pretraining and fine-tuning, and the report that says what they found."""
