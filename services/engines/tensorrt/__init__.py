"""TensorRT: the machine it builds for, what it takes of a graph, and its engines. The library itself is optional."""
