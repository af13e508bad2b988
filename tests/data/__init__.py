"""What tests draw for themselves: data sets."""
