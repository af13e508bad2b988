"""Pretraining of encoders on unlabelled images: one file per method."""
