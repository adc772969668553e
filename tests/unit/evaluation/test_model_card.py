"""The card names the data, the figures, the pictures and the limits."""

from pathlib import Path

import pyarrow as pa
import pytest

from intent_tracking.evaluation import behavioural
from intent_tracking.evaluation.behaviour_cases import shop_cases
from intent_tracking.evaluation.gate import GateDecision
from intent_tracking.evaluation.model_card import LIMITS, CardFacts, write_model_card
from intent_tracking.evaluation.report import evaluate_predictions
from intent_tracking.modeling.calibration import Calibration
from tests.fakes.keyword_predictor import KeywordPredictor
from tests.fakes.prediction_tables import sure

pytestmark = pytest.mark.unit
LABELS = ("bargain", "purchase")


def test_the_card_says_what_was_measured_and_links_only_pictures_that_exist(tmp_path: Path) -> None:
    table = pa.table({"intent": ["bargain", "purchase", "new"], "language": ["en", "zh", "en"]})
    calibration = Calibration(ece_before=0.09, ece_after=0.01)
    report = evaluate_predictions(table, [sure("bargain", LABELS)] * 3, LABELS, tmp_path, calibration=calibration)
    facts = CardFacts("v7", "MiniLM", "0.1.0", "sha256:abc", LABELS, "10 examples", "3 examples", {"seconds": "12"})
    model = KeywordPredictor(deaf_to="bargain")
    behaviour = behavioural.run(model, model.labels, shop_cases())
    gate = GateDecision(False, ("refused: may be worse",), {})
    card = write_model_card(tmp_path, facts, report, behaviour, gate).read_text("utf-8")
    for expected in ("v7", "sha256:abc", "cannot say: new", "refused: may be worse", "**Refused.**", *LIMITS):
        assert expected in card
    assert "key-information F1 (exact spans) | not measured" in card
    assert "rejected as out of scope | nothing: too few validation texts" in card
    assert "validation | 0.090 | 0.010" in card
    assert "in-scope accuracy (a rejected one is wrong) | 0.333" in card
    assert {"confusion_matrix", "abstention", "calibration"} <= set(report.pictures)
    for file in report.pictures.values():
        assert f"({file})" in card
        assert (tmp_path / file).exists()
    assert all(line.count("|") >= 3 for line in card.splitlines() if line.startswith("|"))
