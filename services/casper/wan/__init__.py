"""Casper on Wan 2.1 Fun InP, 1.3B and 14B: the published weights behind one call (`casper.WanCasper`)."""
