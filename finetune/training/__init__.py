"""The network in training: what moves, how fast, until when, judged by which images."""
