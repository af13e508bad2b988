"""A run's network as ONNX: `python -m finetune.export`."""
