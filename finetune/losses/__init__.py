"""The losses of segmentation and their sums."""
