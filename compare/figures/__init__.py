"""The figures of a report, a kind each."""
