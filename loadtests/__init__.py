"""What the system carries, measured: each folder is one question and a command that answers it."""
