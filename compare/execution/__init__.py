"""Doing the runs of a study: here, on a cluster, and never twice."""
