"""An encoder's weights: the class that all commands share, its file, the hub, ONNX, other libraries' names."""
