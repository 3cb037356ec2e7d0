"""The control plane: JSON, addresses and progress; it imports no torch and touches no frame."""
