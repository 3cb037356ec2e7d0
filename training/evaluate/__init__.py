"""How good the networks are: tables over scenes that training never saw."""
