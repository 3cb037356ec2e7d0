"""Networks as ONNX files, made where they are used: whoever has weights can build engines, without `training`."""
