"""What the utility gate of an audit rests on, where that is less than it should be."""

from __future__ import annotations

from holdfast.core import Reading
from holdfast.price.curves import Reader

TASKS = 2
"""A break keeps utility on at least so many tasks, each in the better of as many templates."""


def gate_notes(reader: Reader, before: Reading | None) -> list[str]:
    """Sentences for a reader of the price: too few tasks, or tasks in a single template."""
    known = reader.utility(before, "utility") if "utility" in reader.splits else {}
    tasks = sorted(task for task, mean in known.items() if mean)
    if not tasks:
        return []  # nothing can be judged, which the price says itself
    notes: list[str] = []
    if len(tasks) < TASKS:
        notes.append(
            f"Utility is kept on one task alone ({tasks[0]}): a break should keep two or more."
        )
    single = [t for t in tasks if len(reader.splits["utility"].templates[t]) < TASKS]
    if single:
        which = "No task" if len(single) == len(tasks) else f"Not every task ({', '.join(single)})"
        notes.append(
            f"{which} of utility is asked in two templates: a model that has lost a format counts"
            " as one that has lost the task."
        )
    return notes
