"""Projects of editing programs that put the delivered layers together again: text made of layers.json, no pixels."""
