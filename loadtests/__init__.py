"""Load tests, and models of what the service takes under load. Not part of any installed package."""
