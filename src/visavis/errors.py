"""The one exception people are meant to read."""

from __future__ import annotations

import sys
from pathlib import Path


class VisavisError(Exception):
    """Something went wrong that a person can mend; `str(error)` says what, where, and what to do.

    `code` is stable and upper snake case (`MODEL_MISSING`): it is what clients and logs branch on.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ConfigurationError(VisavisError):
    """A setting cannot work; the message names the key, where it came from and what is expected."""

    def __init__(self, message: str) -> None:
        super().__init__("BAD_CONFIGURATION", message)


class ExtraMissing(ConfigurationError):
    """What was chosen needs packages that are not installed; the message names the command that gets them."""

    def __init__(self, needs: str, extra: str) -> None:
        """`needs`: what needs what, without a full stop; `extra`: of this package."""
        python = Path(sys.executable)
        if python.is_relative_to(Path.cwd()):
            python = python.relative_to(Path.cwd())
        command = f"{python} -m pip install 'visavis[{extra}]'"
        super().__init__(f"{needs}, which is not installed; get it: {command}")


class ModelMissing(VisavisError):
    """A model file is not there and may not be fetched; the message names the command that gets it."""

    def __init__(self, message: str) -> None:
        super().__init__("MODEL_MISSING", message)


def for_people(error: BaseException) -> VisavisError | None:
    """The failure meant for people inside an exception or a group of them, if there is one."""
    if isinstance(error, VisavisError):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next((found for inner in error.exceptions if (found := for_people(inner))), None)
    return None
