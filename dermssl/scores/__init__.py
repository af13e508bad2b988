"""Scores of one image, from counts and from boundaries, and figures that several commands draw."""
