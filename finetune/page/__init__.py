"""The page of a run: what a network came to, on one page that opens without a network."""
