"""Where the files of a public data set lie: in the user's own folder of data sets, else in the download cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from intent_tracking.datasets.catalogue import DatasetError, PublicDataset, dataset
from intent_tracking.datasets.download import download
from intent_tracking.settings import Settings


@dataclass(frozen=True)
class DataFolders:
    """The folder that the user keeps (`INTENT_DATA_DIR`, may be None) and the one that downloads go to."""

    own: Path | None
    cache: Path

    @classmethod
    def of(cls, settings: Settings) -> DataFolders:
        """The folders that the settings name."""
        return cls(settings.data_dir, settings.public_data)

    def find(self, name: str) -> Path | None:
        """The folder that holds every file of the set `name`, the user's own first; None: neither does.

        Raises:
            DatasetError: no set has this name, or a file there is not the one of the catalogue.
        """
        wanted = dataset(name)
        for root in (self.own, self.cache):
            if root is None or not all((root / name / file.path).is_file() for file in wanted.files):
                continue
            verify(wanted, root / name)
            return root / name
        return None

    def require(self, name: str) -> Path:
        """As `find`, for who cannot go on without.

        Raises:
            DatasetError: the set is not here, or a file is not the one of the catalogue.
        """
        found = self.find(name)
        if found is None:
            places = " nor ".join(str(root / name) for root in (self.own, self.cache) if root is not None)
            raise DatasetError(
                f"{name}: not all its files are in {places}; run `intent-tracking datasets fetch {name}`, or set "
                "INTENT_DATA_DIR to the folder that holds it"
            )
        return found

    def fetch(self, name: str, *, host: str | None = None, progress: Callable[[int, int], None] | None = None) -> Path:
        """The folder of the set, downloaded into the cache where it is not here already.

        Args:
            name: of the set.
            host: another server with the layout of raw.githubusercontent.com.
            progress: called with the number of files that are done, and of all.

        Raises:
            DatasetError: no set has this name, or a file cannot be had.
        """
        found = self.find(name)
        if found is not None:
            return found
        wanted, done = dataset(name), 0
        for source in wanted.sources:
            for file in source.files:
                target = self.cache / name / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                download(source.url(file) if host is None else source.url(file, host), target, file.sha256)
                done += 1
                if progress is not None:
                    progress(done, len(wanted.files))
        return self.cache / name


def verify(wanted: PublicDataset, folder: Path) -> None:
    """Compare the sha256 of each file of the set in `folder`.

    Raises:
        DatasetError: one differs.
    """
    for file in wanted.files:
        path = folder / file.path
        if hashlib.sha256(path.read_bytes()).hexdigest() != file.sha256:
            raise DatasetError(
                f"{path}: is not the file of the catalogue (sha256 differs), and figures on it would not compare; "
                f"remove it, then run `intent-tracking datasets fetch {wanted.name}`"
            )
