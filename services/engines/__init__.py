"""Feed-forward networks outside of PyTorch: how a stage gets one, where it runs, and how its file is made.

    from services.engines import Engine, open_here
    network = open_here("ssr", path)       # arrays in, arrays out

    engine, providers, opening   ONNX Runtime in this process, the device it uses, and the call that stages make
    shapes                       what sizes a file is meant for
    export/                      PyTorch -> ONNX; needs torch and onnx
    tensorrt/                    what TensorRT takes, builds, and where its engines are kept; needs onnx
    networks, repository, build  which networks there are, Triton's repository of them, and the command for both

This module imports neither torch nor onnx. Must not know: any stage (`networks` alone knows where their files are).
"""

from services.engines.engine import Engine
from services.engines.opening import Network, OpenNetwork, open_here

__all__ = ["Engine", "Network", "OpenNetwork", "open_here"]
