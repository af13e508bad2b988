"""What a study will cost, from finished runs or from short ones."""
