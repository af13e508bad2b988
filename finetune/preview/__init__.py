"""What augmentation and padding make of a data set: `python -m finetune.preview`."""
