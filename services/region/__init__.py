"""The stage `region`: large frames are worked on where their objects are, at a size that models can hold."""
