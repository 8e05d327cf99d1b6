"""ONNX models out of torch modules: the dense-equivalent form and its dense twin."""
