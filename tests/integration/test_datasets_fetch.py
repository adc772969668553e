"""Sets that are not here are downloaded, from a server on localhost with the layout of the public one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from intent_tracking.datasets.catalogue import DatasetError, dataset
from intent_tracking.datasets.folders import DataFolders
from tests.fakes.file_server import FileServer, file_server

pytestmark = pytest.mark.integration

NAME = "clinc150"


@pytest.fixture
def server(data_dir: Path) -> Iterator[FileServer]:
    if not (data_dir / NAME).is_dir():
        pytest.skip(f"{data_dir / NAME} is missing")
    [source] = dataset(NAME).sources
    with file_server(
        {source.url(file, host=""): (data_dir / NAME / file.path).read_bytes() for file in source.files}
    ) as running:
        yield running


@pytest.fixture
def folders(tmp_path: Path) -> DataFolders:
    return DataFolders(None, tmp_path / "cache")


def page(path: str) -> str:
    [source] = dataset(NAME).sources
    return next(source.url(file, host="") for file in source.files if file.path == path)


def test_a_set_is_downloaded_once(server: FileServer, folders: DataFolders) -> None:
    seen: list[tuple[int, int]] = []
    folder = folders.fetch(NAME, host=server.address, progress=lambda done, files: seen.append((done, files)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert json.loads((folder / "domains.json").read_text())["banking"]
    assert folders.find(NAME) == folder
    assert folders.fetch(NAME, host=server.address) == folder
    assert server.requests.total() == 3


def test_other_bytes_are_refused(server: FileServer, folders: DataFolders) -> None:
    server.content[page("domains.json")] = b"<html>moved</html>"
    with pytest.raises(DatasetError, match=r"domains\.json: serves other bytes than the catalogue knows"):
        folders.fetch(NAME, host=server.address)
    assert not (folders.cache / NAME / "domains.json").exists()
    assert folders.find(NAME) is None


def test_an_interrupted_download_leaves_nothing_and_can_be_taken_up(server: FileServer, folders: DataFolders) -> None:
    server.broken.add(page("data_small.json"))
    with pytest.raises(DatasetError, match=r"data_small\.json: cannot be downloaded"):
        folders.fetch(NAME, host=server.address)
    assert sorted(path.name for path in (folders.cache / NAME).iterdir()) == ["data_full.json"]
    server.broken.clear()
    folders.fetch(NAME, host=server.address)
    assert server.requests[page("data_full.json")] == 1
    assert folders.find(NAME) is not None


def test_a_server_without_the_file_is_named(server: FileServer, folders: DataFolders) -> None:
    del server.content[page("data_full.json")]
    with pytest.raises(DatasetError, match=r"data_full\.json: cannot be downloaded \(404"):
        folders.fetch(NAME, host=server.address)


def test_own_folder_comes_first_and_must_be_unchanged(server: FileServer, data_dir: Path, tmp_path: Path) -> None:
    assert DataFolders(data_dir, tmp_path).require(NAME) == data_dir / NAME
    folders = DataFolders(None, tmp_path)
    (folders.fetch(NAME, host=server.address) / "domains.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"domains\.json: is not the file of the catalogue"):
        folders.require(NAME)


def test_a_set_that_is_nowhere_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="run `intent-tracking datasets fetch banking77`"):
        DataFolders(None, tmp_path).require("banking77")
    with pytest.raises(DatasetError, match="no data set is called 'nix'"):
        DataFolders(None, tmp_path).find("nix")


def test_addresses_are_fixed_to_a_commit() -> None:
    source = dataset("bitext_responses").sources[1]
    url = source.url(source.files[0])
    assert url.startswith(
        f"https://raw.githubusercontent.com/bitext/{source.repository.split('/')[1]}/{source.commit}/"
    )
    assert url.endswith(quote("Bitext_Sample_Customer_support_Training_Dataset GPT3.5.csv"))
