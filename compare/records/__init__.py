"""A study as its folder has it: its runs and their scores, what their folders say, and what is kept of it."""
