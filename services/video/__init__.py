"""Video files in and out: probing, decoding to exact RGB, timing, audio, encoding.

Everything that touches PyAV is here, so that the rules of safe opening, colour and timing are written down
once.
Must not know: stages, artifacts, or what the pixels mean.
"""
