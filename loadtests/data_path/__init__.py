"""What a stack spends outside of computing: bytes through the store, imports, and the way to ready.

python -m loadtests.data_path [--json OUT] [store|startup]
"""
