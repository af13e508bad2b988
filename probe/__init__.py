"""Measures of a frozen encoder: nearest neighbours, a linear classifier, a dense probe on masks, and a map."""
