"""Casper on CogVideoX-Fun V1.5 5B InP: a latent diffusion transformer with 33 input channels. Entry: `casper.py`."""
