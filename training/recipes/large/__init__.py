"""The large Caspers: fine-tuning CogVideoX and Wan on a user's own GPUs, with the released hyper-parameters."""
