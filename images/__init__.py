"""Container images, and what goes into them."""
