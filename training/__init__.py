"""How the compact networks are made: data synthesis, the trainer, evaluation tables. Never imported at inference."""
