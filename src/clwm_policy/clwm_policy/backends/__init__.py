"""What runs the model's calls: torch, ONNX Runtime, TensorRT or CUDA graphs, behind the one interface of the model."""
