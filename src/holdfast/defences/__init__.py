"""One file, one defence: as an attack, over a defender's data."""
