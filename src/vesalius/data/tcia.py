"""What collections of The Cancer Imaging Archive share: a folder a patient, and somewhere in it a folder a series."""

import re
from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property

from vesalius.data.datasets import OnDisk
from vesalius.data.walk import image_files
from vesalius.errors import DataError


class Collection(OnDisk):
    """Ids are the folders of the series of CT, below root. Structure sets, annotations and radiographs are passed over.

    The patient is the folder whose whole name fits `pattern`, at any depth, since download tools nest differently.
    """

    @property
    @abstractmethod
    def pattern(self) -> str:
        """Regular expression for the name of a patient's folder."""

    @cached_property
    def _patients(self) -> dict[str, str]:
        """Every series -> its patient. DataError: there are none, or one that is no patient's."""
        found = [path for path in image_files(self.root, series=True) if (self.root / path).is_dir()]
        if not found:
            raise DataError("no folder of DICOM slices", file=self.root, remedy="Check the path.")
        fits = re.compile(self.pattern).fullmatch
        whose = {path: next(filter(fits, (self.root.name, *path.split("/"))), "") for path in found}
        if lost := [path for path, patient in whose.items() if not patient]:
            reason = f"is a series in no patient's folder, whose name is {self.pattern}"
            raise DataError(reason, file=self.root / lost[0], remedy="Keep the folders of the download.")
        return whose

    @property
    def files(self) -> Mapping[str, str]:
        """Id -> path below root: the same."""
        return {path: path for path in self._patients}

    def patient(self, id: str, /) -> str:
        """The name of the patient's folder."""
        self.path(id)
        return self._patients[id]
