"""From squares to probabilities to masks, and their scores."""
