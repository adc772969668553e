"""What a person with a handful of labels may expect of the packaged encoder and the recipe that is chosen for them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from intent_tracking.evaluation.evaluate import evaluate_command

pytestmark = pytest.mark.model

INTENTS = ("cancel_order", "track_refund", "complaint", "payment_issue", "newsletter_subscription", "edit_account")
A_LABEL = 6
CHINESE = {
    "return": ("我要退货", "这件衣服想退掉", "能不能退货退款", "收到不合适想退货", "请帮我办理退货", "怎么申请退货"),
    "parcel": ("我的快递到哪里了", "物流怎么不动了", "包裹什么时候到", "查一下快递", "快递几天能到", "帮我看看物流"),
    "discount": ("有没有优惠券", "能便宜一点吗", "现在有什么活动", "优惠券怎么领", "可以打折吗", "满减活动还有吗"),
}
CHINESE_TEST = {
    "return": (
        *("想把鞋子退了", "退货怎么办", "我想退掉这双鞋", "可以退货吗", "衣服太大了想退货", "退货流程是什么"),
        *("帮我退货吧", "不想要了能退吗", "买错了要退货", "退款怎么申请", "我要申请退款"),
    ),
    "parcel": (
        *("我的包裹到哪了", "快递怎么还没到", "帮我查物流", "包裹几天能到", "物流信息不动了", "快递什么时候到"),
        *("我的快递呢", "查一下我的包裹", "包裹到哪里了", "看一下物流到哪了", "快递还要几天"),
    ),
    "discount": (
        *("有优惠活动吗", "能打折吗", "优惠券怎么用", "可以便宜点吗", "有什么满减", "有没有活动"),
        *("给我一张优惠券", "现在打折吗", "能不能再便宜一点", "优惠活动什么时候有", "满减怎么算"),
    ),
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
    )
    assert report["examples"] == {"train": A_LABEL * len(INTENTS), "dev": 0, "test": len(rows("test", 20))}
    assert report["accuracy"] >= 0.85
    assert json.loads((tmp_path / "report.json").read_text()) == report


def test_chinese_is_learned_from_characters_that_the_base_encoder_does_not_know(tmp_path: Path) -> None:
    train = [(text, intent) for intent, texts in CHINESE.items() for text in texts]
    test = [(text, intent) for intent, texts in CHINESE_TEST.items() for text in texts]
    assert {text for text, _ in test}.isdisjoint(text for text, _ in train)
    report = evaluate_command(
        _write(tmp_path / "train.csv", train),
        _write(tmp_path / "test.csv", test),
        None,
        tmp_path / "report.json",
    )
    assert report["accuracy"] >= 0.75
