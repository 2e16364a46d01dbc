"""Several models: comparisons, relations, verdicts, what defences bought."""
