"""What a person sees of a materialization in the Dagster UI: small tables and pictures as Markdown."""

import base64
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from intent_tracking.text.markdown import escaped

MAX_CELL = 80
MAX_PICTURE_BYTES = 400_000  # metadata lies in the event log's database: larger pictures are linked by their path


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return escaped(text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…")


def rows_as_markdown(rows: Sequence[dict[str, object]]) -> dg.MarkdownMetadataValue:
    """A Markdown table of `rows`, all with the keys of the first."""
    if not rows:
        return dg.MetadataValue.md("*no rows*")
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(_cell(row[name]) for name in names) + " |" for row in rows]
    return dg.MetadataValue.md("\n".join(lines))


def sample(table: pa.Table, columns: Sequence[str], rows: int = 5) -> dg.MarkdownMetadataValue:
    """The first rows of `table` as a Markdown table.

    Name no column that tells who a shopper is or what a shopper wrote: what Dagster keeps of a run outlives an erasure.
    """
    return rows_as_markdown(table.select(list(columns)).slice(0, rows).to_pylist())


def counts(table: pa.Table, column: str, most: int = 20) -> dg.MarkdownMetadataValue:
    """How often each value of `column` occurs, the most frequent first."""
    found = (
        table.group_by(column)
        .aggregate([([], "count_all")])
        .sort_by([("count_all", "descending"), (column, "ascending")])
    )
    return rows_as_markdown(
        [{column: row[column], "rows": row["count_all"]} for row in found.slice(0, most).to_pylist()]
    )


def means(table: pa.Table) -> dict[str, float]:
    """Mean of each numeric column as `mean/<column>`: figures that Dagster plots over time. Empty for no rows."""
    if table.num_rows == 0:
        return {}
    numeric = [f.name for f in table.schema if pa.types.is_floating(f.type) or pa.types.is_integer(f.type)]
    return {f"mean/{name}": float(pc.mean(table[name]).as_py()) for name in numeric}


def picture(path: Path) -> dg.MetadataValue:
    """A PNG shown in place where it is small, else its path."""
    if path.stat().st_size > MAX_PICTURE_BYTES:
        return dg.MetadataValue.path(path)
    return dg.MetadataValue.md(f"![{path.stem}](data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()})")
