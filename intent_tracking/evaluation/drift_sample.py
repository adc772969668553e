"""The two samples that a drift check compares: which columns, of which kind, measured how, on which rows.

One session may have been answered twenty times, and its answers resemble each other: counted row by row, one talkative
shopper would look like a drift. So a session gives one of its predictions, drawn by a seeded generator, and both sides
are drawn down to the same fixed size, because a test on 100,000 rows finds shifts that nobody cares about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from intent_tracking.modeling.prediction import OUT_OF_SCOPE_LABEL

Values = NDArray[np.float64] | NDArray[np.str_]
MISSING = "(none)"
MAX_FIT_ROWS = 2000


class DriftError(ValueError):
    """The tables cannot be compared; the message names what is wrong and what to do."""


class Method(StrEnum):
    """How two samples of one column are compared. The names are Evidently's, and so are the definitions."""

    JENSEN_SHANNON = "jensenshannon"  # distance (root of the divergence), natural logarithm, 0..0.833
    WASSERSTEIN = "wasserstein"  # first Wasserstein distance over the standard deviation of the reference


class ColumnKind(StrEnum):
    """What a column tells about."""

    CATEGORY = "category"
    NUMBER = "number"
    TEXT = "text descriptor"
    UNKNOWN_WORDS = "out-of-vocabulary share"
    EMBEDDING = "embedding component"
    PREDICTION_MIX = "prediction mix"
    CONFIDENCE = "confidence"


@dataclass(frozen=True)
class Rule:
    """The method of a column kind, and what is worth a retraining, however sure we are of it.

    Attributes:
        min_effect: smallest statistic.
        min_change: smallest Wasserstein distance in the column's own unit, for columns that hardly vary: where all but
            a few texts have no unknown word, one more in a thousand is many standard deviations and yet nothing.
    """

    method: Method
    min_effect: float
    min_change: float = 0.0


# A normed Wasserstein distance of 0.2 is what a shift of the mean by a fifth of a standard deviation gives.
RULES = {
    ColumnKind.CATEGORY: Rule(Method.JENSEN_SHANNON, 0.12),
    ColumnKind.NUMBER: Rule(Method.WASSERSTEIN, 0.2),
    ColumnKind.TEXT: Rule(Method.WASSERSTEIN, 0.2),
    ColumnKind.UNKNOWN_WORDS: Rule(Method.WASSERSTEIN, 0.2, min_change=0.02),
    ColumnKind.EMBEDDING: Rule(Method.WASSERSTEIN, 0.2),
    ColumnKind.PREDICTION_MIX: Rule(Method.JENSEN_SHANNON, 0.12),
    ColumnKind.CONFIDENCE: Rule(Method.WASSERSTEIN, 0.2),
}

CATEGORIES = ("scene", "language", "kind")
NUMBERS = {
    "event_count": ColumnKind.NUMBER,
    "text_length": ColumnKind.TEXT,
    "word_count": ColumnKind.TEXT,
    "non_letter_share": ColumnKind.TEXT,
}
MODEL_NUMBERS = {
    "unknown_share": ColumnKind.UNKNOWN_WORDS,
    "confidence": ColumnKind.CONFIDENCE,
    "purchase_probability": ColumnKind.NUMBER,
}
PREDICTION = "intent"
COMPONENT = "embedding_{}"
RESIDUAL = "embedding_novelty"
DRAWN_FROM = ("prediction_id", "session_id", "event_time", "model_version")
"""What the draw stands on; the other columns are read of the drawn rows alone."""
COMPARED = (*DRAWN_FROM, "out_of_scope", "embedding", PREDICTION, *CATEGORIES, *NUMBERS, *MODEL_NUMBERS)

Complete = Callable[[Sequence[pa.Table]], Sequence[pa.Table]]
"""Gives tables of drawn rows, in their order, the columns `COMPARED`: a window's embeddings need not fit in memory."""


@dataclass(frozen=True)
class DriftPolicy:
    """How drift is decided.

    Attributes:
        sample_size: sessions drawn from each side.
        min_samples: fewer sessions than this on either side give no verdict.
        permutations: random relabellings behind each p-value.
        false_discovery_rate: level of Benjamini-Hochberg over the columns.
        min_columns: drifted columns that make a drifted window.
        strong_factor: one drifted column makes a drifted window when its statistic is this many times its smallest
            effect: new products in words that the model cannot read move that column far, and few others.
        components: principal components of the embedding that are compared, besides the distance left over.
        seed: of the draw and the relabelling.
    """

    sample_size: int = 500
    min_samples: int = 200
    permutations: int = 999
    false_discovery_rate: float = 0.05
    min_columns: int = 2
    strong_factor: float = 2.0
    components: int = 4
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Column:
    """One compared column; numbers hold no NaN, categories hold `(none)` for null."""

    name: str
    kind: ColumnKind
    reference: Values
    current: Values


@dataclass(frozen=True, eq=False)
class DriftSample:
    """The columns of both sides, and those left out with the reason in words."""

    columns: tuple[Column, ...]
    left_out: dict[str, str]
    reference_size: int
    current_size: int
    model_version: str | None
    notes: tuple[str, ...] = field(default=())


def sessions_of(table: pa.Table, seed: int) -> NDArray[np.int64]:
    """Row numbers of one random prediction a session, in random order; an answer without a session counts for itself.

    Depends on the rows and the seed, not on their order.
    """
    if not table.num_rows:
        return np.array([], dtype=np.int64)
    own = table.column("prediction_id").cast(pa.string())
    alone = pc.binary_join_element_wise("?", own, "")
    names = pc.rank(pc.coalesce(table.column("session_id").cast(pa.string()), alone), tiebreaker="dense").to_numpy()
    order = pc.sort_indices(own).to_numpy()
    generator = np.random.default_rng(seed)
    order = order[generator.permutation(len(order))]
    _, first = np.unique(names[order], return_index=True)
    # Shuffled again: in the order of first appearance, a cut to the sample size would favour talkative sessions.
    return np.asarray(order[first[generator.permutation(len(first))]], dtype=np.int64)


def check_columns(table: pa.Table, side: str, needed: Sequence[str] = COMPARED) -> None:
    """Raises DriftError when a column of PREDICTION_SCHEMA that the check stands on is missing."""
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise DriftError(f"the {side} table lacks the columns {missing}; give a table with PREDICTION_SCHEMA")


def live_version(table: pa.Table) -> str | None:
    """The model version that gave most of the answers; the later name where two gave as many."""
    counts = pc.value_counts(table.column("model_version").drop_null()).to_pylist()
    return max(counts, key=lambda each: (each["counts"], each["values"]))["values"] if counts else None


def of_version(table: pa.Table, version: str | None) -> pa.Table:
    """The answers that one model version gave."""
    return table.filter(pc.equal(table.column("model_version"), pa.scalar(version, pa.string())))


def _embeddings(table: pa.Table) -> NDArray[np.float64] | None:
    column = table.column("embedding")
    widths = set(pc.list_value_length(column).to_pylist())
    if len(widths) != 1 or not widths - {None, 0}:
        return None
    flat = pc.list_flatten(column).to_numpy(zero_copy_only=False)
    return np.asarray(flat, dtype=np.float64).reshape(table.num_rows, -1)


@dataclass(frozen=True, eq=False)
class Directions:
    """Mean `[width]` and leading principal directions `[width, components]` of a set of embeddings."""

    mean: NDArray[np.float64]
    basis: NDArray[np.float64]


def principal_directions(table: pa.Table, components: int) -> Directions | None:
    """Directions of the embeddings of at most `MAX_FIT_ROWS` rows; None where some are missing or differ in width.

    Signs are fixed, so a rerun gives the same figures.
    """
    rows = _embeddings(table.slice(0, MAX_FIT_ROWS))
    if rows is None:
        return None
    mean = rows.mean(axis=0)
    _, vectors = np.linalg.eigh(np.atleast_2d(np.cov(rows - mean, rowvar=False)))
    leading = vectors[:, ::-1][:, :components]
    signs = np.sign(leading[np.abs(leading).argmax(axis=0), np.arange(leading.shape[1])])
    return Directions(mean, leading * signs)


def embedding_columns(
    directions: Directions, reference: NDArray[np.float64], current: NDArray[np.float64]
) -> list[Column]:
    """Coordinates on the principal directions of the reference, and the distance that these directions leave over.

    A new intent often lies where the reference never went: the leading directions miss it, the left-over distance
    does not.
    """
    basis = directions.basis
    sides = []
    for rows in (reference, current):
        centred = rows - directions.mean
        along = centred @ basis
        sides.append((along, np.linalg.norm(centred - along @ basis.T, axis=1)))
    (reference_along, reference_rest), (current_along, current_rest) = sides
    found = [
        Column(COMPONENT.format(i + 1), ColumnKind.EMBEDDING, reference_along[:, i], current_along[:, i])
        for i in range(basis.shape[1])
    ]
    return [*found, Column(RESIDUAL, ColumnKind.EMBEDDING, reference_rest, current_rest)]


def _numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    values = np.asarray(table.column(name).to_numpy(zero_copy_only=False), dtype=np.float64)
    return values[~np.isnan(values)]


def _categories(table: pa.Table, name: str) -> NDArray[np.str_]:
    return np.array([MISSING if v is None else str(v) for v in table.column(name).to_pylist()], dtype=np.str_)


def _answers(table: pa.Table) -> NDArray[np.str_]:
    said = np.asarray(table.column("out_of_scope").to_numpy(zero_copy_only=False), dtype=bool)
    return np.where(said, OUT_OF_SCOPE_LABEL, _categories(table, PREDICTION)).astype(np.str_)


def compare_rows(
    reference: pa.Table, current: pa.Table, directions: Directions | None, policy: DriftPolicy, *, same_model: bool
) -> DriftSample:
    """Columns of two tables already drawn down to one row a session."""
    columns = [
        Column(name, ColumnKind.CATEGORY, _categories(reference, name), _categories(current, name))
        for name in CATEGORIES
    ]
    left_out: dict[str, str] = {}
    numbers = NUMBERS | (MODEL_NUMBERS if same_model else {})
    for name, kind in numbers.items():
        sides = _numbers(reference, name), _numbers(current, name)
        if min(map(len, sides)) < policy.min_samples:
            left_out[name] = f"fewer than {policy.min_samples} values on one side"
        else:
            columns.append(Column(name, kind, *sides))
    if not same_model:
        reason = "the reference was answered by another model version"
        left_out |= dict.fromkeys((*MODEL_NUMBERS, PREDICTION, COMPONENT.format("*")), reason)
        return DriftSample(tuple(columns), left_out, reference.num_rows, current.num_rows, live_version(current))
    columns.append(Column(PREDICTION, ColumnKind.PREDICTION_MIX, _answers(reference), _answers(current)))
    before, now = _embeddings(reference), _embeddings(current)
    if directions is None or before is None or now is None or before.shape[1] != now.shape[1]:
        left_out[COMPONENT.format("*")] = "embeddings are missing or of different widths"
    else:
        columns += embedding_columns(directions, before, now)
    return DriftSample(tuple(columns), left_out, reference.num_rows, current.num_rows, live_version(current))


@dataclass(frozen=True, eq=False)
class DrawnRows:
    """Rows of both sides, one a session, and those of the reference that the directions are fitted on."""

    reference: pa.Table
    current: pa.Table
    fit: pa.Table
    same_model: bool

    def compared(self, policy: DriftPolicy) -> DriftSample:
        """The columns of the rows, which hold all of `COMPARED`."""
        directions = principal_directions(self.fit, policy.components) if self.same_model else None
        return compare_rows(self.reference, self.current, directions, policy, same_model=self.same_model)


def completed(drawn: Sequence[DrawnRows], complete: Complete | None) -> list[DrawnRows]:
    """The drawn rows with the columns that are compared, by one call; as they are where `complete` is None."""
    if complete is None:
        return list(drawn)
    tables = iter(complete([table for rows in drawn for table in (rows.reference, rows.current, rows.fit)]))
    return [DrawnRows(next(tables), next(tables), next(tables), rows.same_model) for rows in drawn]


def draw_rows(reference: pa.Table, current: pa.Table, policy: DriftPolicy) -> DrawnRows | None:
    """Draw both sides down to one row a session and the policy's sample size; None where one side has too few sessions.

    Answers of the model version that is live in `current` are compared, with the reference's answers of that version;
    where the reference has too few of those, the columns that depend on the model are left out and the inputs alone are
    compared.

    Args:
        reference, current: tables with the columns `DRAWN_FROM`, of which alone the draw depends, and any others.
    """
    version = live_version(current)
    if version is None:
        return None
    current = of_version(current, version)
    own = of_version(reference, version)
    own_rows = sessions_of(own, policy.seed)
    same_model = len(own_rows) >= policy.min_samples
    if same_model:
        reference, rows = own, own_rows
    else:
        rows = sessions_of(reference, policy.seed)
    current_rows = sessions_of(current, policy.seed + 1)
    if min(len(rows), len(current_rows)) < policy.min_samples:
        return None
    size = min(policy.sample_size, len(rows), len(current_rows))
    # Directions fitted on the compared rows would sit closer to the reference than to new rows of the same kind.
    spare = rows[size:]
    fit = spare if len(spare) >= policy.min_samples else rows
    return DrawnRows(
        reference.take(rows[:size]),
        current.take(current_rows[:size]),
        reference.take(fit[: MAX_FIT_ROWS if same_model else 0]),
        same_model,
    )


def draw(
    reference: pa.Table, current: pa.Table, policy: DriftPolicy, complete: Complete | None = None
) -> DriftSample | None:
    """The columns of the rows that `draw_rows` draws; None where it draws none.

    Args:
        complete: where the tables hold only `DRAWN_FROM`, what gives the drawn rows the rest.

    Raises:
        DriftError: a column is missing.
    """
    for table, side in ((reference, "reference"), (current, "current")):
        check_columns(table, side, COMPARED if complete is None else DRAWN_FROM)
    drawn = draw_rows(reference, current, policy)
    return None if drawn is None else completed([drawn], complete)[0].compared(policy)


def random_pair(table: pa.Table, rows: NDArray[np.int64], size: int, seeds: Sequence[int]) -> tuple[pa.Table, pa.Table]:
    """Two disjoint random sets of `size` of the `rows` of one table: a pair that has no drift by construction."""
    mixed = rows[np.random.default_rng(list(seeds)).permutation(len(rows))]
    return table.take(mixed[:size]), table.take(mixed[size : 2 * size])
