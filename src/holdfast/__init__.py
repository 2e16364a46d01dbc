"""holdfast attacks a model's safeguards, hardens them, measures what is left, prices the break."""

__version__ = "0.1.0"
