"""Downloads with a checksum. Pooch stands behind this module alone."""

from __future__ import annotations

from pathlib import Path

from intent_tracking.datasets.catalogue import DatasetError


def download(url: str, target: Path, sha256: str) -> None:
    """Write what `url` serves to `target`, if its sha256 is the expected one; a file that is right already is kept.

    The bytes go to a temporary file beside `target` first, so an interrupted download leaves nothing there.

    Raises:
        DatasetError: the address does not answer, breaks off, or serves other bytes.
    """
    import pooch

    # Pooch announces each download on its own logger; the caller shows progress.
    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(url, known_hash=f"sha256:{sha256}", fname=target.name, path=target.parent)
    except ValueError as error:
        raise DatasetError(
            f"{url}: serves other bytes than the catalogue knows (sha256 {sha256}): the file was changed or the "
            f"answer is an error page. Nothing was written; get the file by hand and put it at {target}"
        ) from error
    except OSError as error:
        # Every error of `requests` is an OSError.
        raise DatasetError(
            f"{url}: cannot be downloaded ({error}). Nothing was written; try again, or get the file by hand and put "
            f"it at {target}"
        ) from error
