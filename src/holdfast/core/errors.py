"""Every fault a user can cause, each with what was expected, what was found and what to do."""

from __future__ import annotations

from pathlib import Path


class HoldfastError(Exception):
    """A fault that the user can mend. The command line prints it and exits with code 2.

    Args:
        expected: what holdfast needed, as a noun phrase or short sentence.
        found: what was there instead.
        remedy: the one thing to do about it.
    """

    def __init__(self, expected: str, *, found: str, remedy: str) -> None:
        self.expected, self.found, self.remedy = expected, found, remedy
        super().__init__(f"expected {expected}; found {found}. {remedy}")


class SpecError(HoldfastError):
    """The request itself is wrong: a name, a setting, a budget."""


class DataMissing(HoldfastError):
    """A file, folder, model or split that should be there is not, or is not readable."""


class LedgerError(HoldfastError):
    """The results file is not one that this version may write to."""


class Diverged(Exception):
    """Training met three non-finite losses in a row. A result, not a user's fault."""

    def __init__(self, step: int) -> None:
        self.step = step
        super().__init__(f"the loss was not finite for three steps, the last of them step {step}")


def unwritable(folder: Path, error: OSError) -> HoldfastError:
    """The error of a folder for results in which nothing can be written."""
    return HoldfastError(
        f"a folder that can be written to at {str(folder)!r}",
        found=error.strerror or str(error),
        remedy="Choose another with --out.",
    )
