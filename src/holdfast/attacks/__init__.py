"""One file, one attack: a frozen dataclass of settings whose `run` yields tampered models."""
