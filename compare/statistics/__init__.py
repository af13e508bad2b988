"""What may be concluded from paired scores, each function named for its source."""
