"""Whether an evaluation can tell what it says: a checklist, answered by the run itself."""
