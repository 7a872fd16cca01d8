"""What recipes write down joins what was written down before: a study may take several folders, and several machines.

Rows of a folder hash patients with the salt of that machine's cache, so the same patient has another hash elsewhere. The data
of recipes are public; written down, their patients get a hash without a secret, by which rows of two machines pair.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from vesalius import results
from vesalius.data.cache import default_root, key_hash, salt_of
from vesalius.data.datasets import open_dataset
from vesalius.errors import DataError
from vesalius.results import Row

RESULTS = Path("src/vesalius/recipes/results")  # in a checkout
KEY = b"vesalius"  # no secret
DIGITS = 8


def public(data: Iterable[str]) -> Callable[[str], str]:
    """Hash of a patient of one of the data sets, under this machine's salt -> the one that is written down; "" stays.

    The function that is returned raises DataError: that patient is in none of them, or was hashed on another machine.
    """
    salt = salt_of(default_root())
    sets = [open_dataset(source) for source in dict.fromkeys(data)]
    patients = {dataset.patient(id) for dataset in sets for id in dataset.ids}
    known = {key_hash(salt, patient): key_hash(KEY, patient)[:DIGITS] for patient in patients}

    def written(patient: str) -> str:
        if patient and patient not in known:
            remedy = "Record on the machine that measured, with its cache (VESALIUS_CACHE) and its data."
            raise DataError(f"patient {patient[:DIGITS]} of the rows is in none of the data sets", remedy=remedy)
        return known[patient] if patient else ""

    return written


def join(path: Path, rows: Iterable[Row]) -> None:
    """`rows` into the file, in place of those that are of the same; what else stood there stays. To start anew, delete it."""
    new = list(rows)
    own = {_what(row) for row in new}
    before = results.read(path) if path.exists() else []
    results.write(path, [*(row for row in before if _what(row) not in own), *new])


def _what(row: Row) -> Row:
    """Of what a row is the number. A draw's seed follows from its number, and from settings, which may have changed."""
    plain = replace(row, value=0.0, parameters=None, gflops=None, artefact="", leak="", version="")
    return plain if row.draw is None else replace(plain, seed=None)
