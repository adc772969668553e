"""The catalogue of public data sets, read from `catalogue.yaml`: addresses, licences and checksums."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Self
from urllib.parse import quote

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

_RAW = "https://raw.githubusercontent.com"


class DatasetError(ValueError):
    """A public data set cannot be had or read; the message says which file, why, and what to do."""


class RemoteFile(BaseModel):
    """One file: its place in the folder of the set, its place in the repository (`at`), and its sha256."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    at: str = ""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Source(BaseModel):
    """Files of one repository at one commit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repository: str
    commit: str = Field(pattern="^[0-9a-f]{40}$")
    files: tuple[RemoteFile, ...]

    @property
    def address(self) -> str:
        """The page that shows the repository at this commit."""
        return f"https://github.com/{self.repository}/tree/{self.commit}"

    def url(self, file: RemoteFile, host: str = _RAW) -> str:
        """Where the bytes of `file` are served; `host` may be a mirror that is laid out in the same way."""
        return f"{host}/{self.repository}/{self.commit}/{quote(file.at or file.path)}"


class PublicDataset(BaseModel):
    """One public data set; `serves` says what this project does with it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    licence: str
    serves: str
    sources: tuple[Source, ...]

    @model_validator(mode="after")
    def _stays_in_its_folder(self) -> Self:
        wrong = [f.path for s in self.sources for f in s.files if f.path.startswith("/") or ".." in f.path.split("/")]
        if wrong:
            raise ValueError(f"{self.name}: {wrong[0]!r} leads out of the folder of the set")
        return self

    @property
    def files(self) -> tuple[RemoteFile, ...]:
        """Every file of the set."""
        return tuple(file for source in self.sources for file in source.files)


_DATASETS = TypeAdapter(tuple[PublicDataset, ...])


@cache
def catalogue() -> dict[str, PublicDataset]:
    """Every public data set by name."""
    text = (resources.files("intent_tracking.datasets") / "catalogue.yaml").read_text(encoding="utf-8")
    return {dataset.name: dataset for dataset in _DATASETS.validate_python(yaml.safe_load(text))}


def dataset(name: str) -> PublicDataset:
    """The set called `name`.

    Raises:
        DatasetError: there is none.
    """
    found = catalogue().get(name)
    if found is None:
        raise DatasetError(f"no data set is called {name!r}; there are {', '.join(sorted(catalogue()))}")
    return found
