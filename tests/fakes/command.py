"""The command line in this process: what it says, and how it ends."""

import contextlib
import io
from typing import NamedTuple

from vesalius.cli import main


class Outcome(NamedTuple):
    """status: of exit. out, err: what was printed."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of the error; AssertionError where there is none, more than one, or success."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert self.status in (1, 2), self
        assert len(lines) == 1, self
        assert self.err.splitlines()[-1] == lines[0], self
        return lines[0].removeprefix("error: ")


def vesalius(*words: object) -> Outcome:
    """`vesalius WORDS`."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(word) for word in words])
    return Outcome(status, out.getvalue(), err.getvalue())
