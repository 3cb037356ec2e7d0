"""Editing: delivered layers put together again, changed (paper, section 4.4). No model runs."""
