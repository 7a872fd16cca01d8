"""`vesalius report FOLDER...`: read the folders, write the page."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from vesalius.errors import DataError, SettingError


def report_command(folders: Annotated[tuple[str, ...], arg(metavar="FOLDER...")], /, out: str = "report.html") -> None:
    """One page of HTML, with everything in it, that shows what was trained and measured.

    Args:
        folders: of runs, and of results (the --out of vesalius anatomy or evaluate), any number
        out: file to write
    """
    if not folders:
        raise SettingError("no folder given", remedy="Usage: vesalius report FOLDER... --out report.html.")
    print(write([Path(folder) for folder in folders], Path(out)))


def write(folders: list[Path], out: Path) -> Path:
    """Write the page of these folders to `out`, and give back its path. DataError: nothing to show, or not writable."""
    from vesalius.report.folders import open_folders
    from vesalius.report.sections import document

    if out.is_dir():
        raise DataError("is a folder", file=out, remedy="Name the file: --out report.html.")
    runs, studies = open_folders(folders)
    text = document(runs, studies)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        remedy = "Check the path and the space left."
        raise DataError(f"cannot be written ({error.strerror or error})", file=out, remedy=remedy) from error
    return out
