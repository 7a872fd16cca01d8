"""Image files below a folder, without what archives and file managers leave behind."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from vesalius.errors import DataError


def image_files(root: Path, suffixes: Sequence[str] = (), series: bool = False) -> tuple[str, ...]:
    """Sorted paths below root, with forward slashes. Hidden files, `._*` and `__MACOSX` are skipped, links followed.

    suffixes: with the dot, any case; empty means every image, by suffix or content. series: slices of CT, MR and PET in
    one folder are one volume, and the folder is its path ("." for root itself). DataError where there are none.
    """
    from vesalius.data.files import IMAGE_SUFFIXES, find  # Pillow loads with it

    wanted = tuple(f".{suffix.lower().lstrip('.')}" for suffix in suffixes)
    below = (path for path in find(root) if "__MACOSX" not in path.relative_to(root).parts) if root.is_dir() else ()
    files = list(below)
    found = [path.relative_to(root).as_posix() for path in files]
    chosen = [path for path in files if path.name.lower().endswith(wanted)] if wanted else files
    if series:
        from vesalius.data.series import gathered  # pydicom loads with it

        chosen = list(gathered(chosen))
    if not chosen:
        reason = f"no images: looked for {', '.join(wanted or IMAGE_SUFFIXES)} in this folder and below"
        others = sorted({PurePosixPath(path).suffix for path in found} - set(wanted))
        remedy = f"There are images of other suffixes: {', '.join(others)}." if others else "Check the path."
        raise DataError(reason, file=root, remedy=remedy)
    return tuple(sorted(path.relative_to(root).as_posix() for path in chosen))


def stem(path: str) -> str:
    """File name without folders and suffix; .nii.gz counts as one suffix."""
    name = PurePosixPath(path).name
    if name.lower().endswith(".nii.gz"):
        return name[:-7]
    bare, _, suffix = name.rpartition(".")
    return bare if bare and not suffix.isdigit() else name  # 1.2.840.1 is an identifier without a suffix


def by_stem(files: Iterable[str]) -> dict[str, list[str]]:
    """Stem -> files that bear it."""
    found = defaultdict(list)
    for file in files:
        found[stem(file)].append(file)
    return dict(found)
