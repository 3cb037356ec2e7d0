"""Published depth models behind the `depth` stage: the production profile."""
