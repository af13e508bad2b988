"""A finished study, or what there is of it, as tables: all that a report prints comes from these."""
