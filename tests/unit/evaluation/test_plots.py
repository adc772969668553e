"""Pictures that no report makes by itself, and text that the fonts cannot draw."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from intent_tracking.evaluation import plots, style

pytestmark = pytest.mark.unit


def _is_png(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG")


def test_a_character_without_a_glyph_is_written_as_its_code_and_never_as_a_blank() -> None:
    private = chr(0xE123)  # private use: no font here has it
    assert style.drawable(f"order {private}") == "order \\ue123"
    assert style.drawable("track_order → oos") == "track_order → oos"
    assert style.drawable("under $5") == r"under \$5"


def test_the_drift_timeline_shows_windows_of_every_kind(tmp_path: Path) -> None:
    windows = [(date(2026, 1, 1) + timedelta(days=i), i % 4, 16, i % 4 > 1, i != 3) for i in range(30)]
    name = plots.drift_timeline(tmp_path, windows, [date(2026, 1, 9)], min_columns=2)
    assert _is_png(tmp_path / name)


def test_before_and_after_compares_models(tmp_path: Path) -> None:
    figures = {
        "before": {"v1": (0.8, 0.75, 0.85), "v2": (0.79, 0.75, 0.83)},
        "after": {"v1": (0.6, 0.55, 0.65), "v2": (0.8, 0.77, 0.83)},
    }
    assert _is_png(tmp_path / plots.before_after(tmp_path, figures))
