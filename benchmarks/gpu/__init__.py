"""What only a GPU can show: whether results are right on it, and how fast they come. `python -m benchmarks.gpu`."""
