"""The stages and what they stand on. Knows nothing of Triton, gRPC or Kubernetes."""
