"""What a person with a handful of labels may expect of the packaged encoder."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from intent_tracking.evaluation.commands import evaluate_command
from intent_tracking.modeling.recipe import Recipe

pytestmark = pytest.mark.model

INTENTS = ("cancel_order", "track_refund", "complaint", "payment_issue", "newsletter_subscription", "edit_account")
A_LABEL = 6
CHINESE = {
    "return": ("我要退货", "这件衣服想退掉", "能不能退货退款", "收到不合适想退货", "请帮我办理退货", "怎么申请退货"),
    "parcel": ("我的快递到哪里了", "物流怎么不动了", "包裹什么时候到", "查一下快递", "快递几天能到", "帮我看看物流"),
    "discount": ("有没有优惠券", "能便宜一点吗", "现在有什么活动", "优惠券怎么领", "可以打折吗", "满减活动还有吗"),
}


def _write(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "intent"])
        writer.writerows(rows)
    return path


def test_six_texts_a_label_are_enough_for_intents_that_differ(data_dir: Path, tmp_path: Path) -> None:
    def rows(name: str, most: int) -> list[tuple[str, str]]:
        found: dict[str, list[tuple[str, str]]] = {intent: [] for intent in INTENTS}
        with (data_dir / "bitext_intents" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["intent"] in found and len(found[row["intent"]]) < most:
                    found[row["intent"]].append((row["utterance"], row["intent"]))
        return [row for labelled in found.values() for row in labelled]

    train, test = (
        _write(tmp_path / "train.csv", rows("train", A_LABEL)),
        _write(tmp_path / "test.csv", rows("test", 20)),
    )
    report = evaluate_command(
        train,
        test,
        None,
        tmp_path / "report.json",
        recipe=Recipe(epochs=10, batch_size=8, learning_rate=2e-4),
    )
    assert report["examples"] == {"train": A_LABEL * len(INTENTS), "dev": 0, "test": len(rows("test", 20))}
    assert report["accuracy"] >= 0.85
    assert json.loads((tmp_path / "report.json").read_text()) == report


def test_chinese_is_learned_from_characters_that_the_base_encoder_does_not_know(tmp_path: Path) -> None:
    train = [(text, intent) for intent, texts in CHINESE.items() for text in texts]
    test = [
        ("想把鞋子退了", "return"),
        ("我的包裹到哪了", "parcel"),
        ("有优惠活动吗", "discount"),
        ("退货怎么办", "return"),
    ]
    report = evaluate_command(
        _write(tmp_path / "train.csv", train),
        _write(tmp_path / "test.csv", test),
        None,
        tmp_path / "report.json",
        recipe=Recipe(epochs=12, batch_size=6, learning_rate=2e-4),
    )
    assert report["accuracy"] >= 0.75
