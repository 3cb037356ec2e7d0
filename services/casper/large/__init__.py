"""What the large Caspers (CogVideoX, Wan) share: preparing a clip, windows over latents, checkpoints, placement."""
