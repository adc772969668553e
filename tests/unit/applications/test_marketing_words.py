"""What a shop declares of audiences, and what its messages may say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from intent_tracking.applications.marketing.rules import MarketingError, read_rules, shipped_rules
from intent_tracking.applications.marketing.words import presentable, read_words

pytestmark = pytest.mark.unit


def test_names_with_links_are_not_put_into_messages() -> None:
    assert presentable("Mug \u200b 2") == "Mug 2"
    assert [presentable(name) for name in ("No.7 cream, 2.5 l", "U.S. Polo")] == ["No.7 cream, 2.5 l", "U.S. Polo"]
    # Cause: a list of eight endings let every other one into the mail of whoever follows the brand.
    assert [presentable(name) for name in ("win at evil.ru", "Evil.CO/x", "a@b.info", "例子.中国")] == [None] * 4
    assert [presentable(name) for name in ("see www.evil.example", "https://x", "evil.com", "", None)] == [None] * 5
    assert len(presentable("x" * 500) or "") == 80


@pytest.mark.parametrize("dot", ["。", "．", "｡", "."])
def test_names_with_markup_or_other_dots_of_the_internet_are_not_put_into_messages(dot: str) -> None:
    # Cause: browsers resolve evil。com, and the mail tool may write HTML.
    hostile = (f"evil{dot}com", f"win at 例子{dot}com now", f"evil{dot}中国", f"shop-1{dot}xn--fiqs8s")
    assert [presentable(name) for name in hostile] == [None] * len(hostile)


def test_names_are_no_markup_and_chinese_sentences_stay() -> None:
    markup = ("<img src=//3232235777/x>", "<script>alert(1)</script>", "＜b＞", "a > b", "[x](//3232235777)")
    assert [presentable(name) for name in markup] == [None] * len(markup)
    kept = ("柔软。舒适。", "纯棉T恤。透气", "含绒量90%。保暖", "H&M", "Mug “2”", "100。纯棉")
    assert [presentable(name) for name in kept] == list(kept)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"control_share": 1.0}, "control_share"),
        ({"caps": {}}, "has no cap"),
        ({"audience": {"priority": 50}}, "same priority"),
        ({"audience": {"views_at_least": 0}}, "views_at_least"),
        ({"audience": {"rule": "unheard_of"}}, "its 'rule' must be one of"),
        ({"colour": "red", "control_share": 1.0}, "control_share: must be below 1; colour: is no field"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_rules_of_the_shop_are_checked_and_what_is_wrong_is_named(
    tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    own = shipped_rules().model_dump(mode="json")
    own["audiences"]["looked_not_bought"] |= change.pop("audience", {})
    (tmp_path / "audiences.yaml").write_text(yaml.safe_dump(own | change))
    with pytest.raises(MarketingError, match=problem):
        read_rules(tmp_path)


def test_words_that_a_rule_cannot_fill_in_are_refused(tmp_path: Path) -> None:
    own = read_words(tmp_path / "none").model_dump()
    own["messages"]["lapsing"]["come_back"]["zh"] = "{item}!"
    (tmp_path / "messages.yaml").write_text(yaml.safe_dump(own))
    with pytest.raises(MarketingError, match=r"lapsing.come_back: \{item\} is unknown"):
        read_words(tmp_path).check(shipped_rules())


@pytest.mark.parametrize(("part", "name"), [("reasons", "propensity"), ("traits", "order_rate")])
def test_words_that_lack_a_reason_or_a_trait_are_refused(tmp_path: Path, part: str, name: str) -> None:
    # Cause: a missing trait was a KeyError at the first member of whom it spoke.
    own = read_words(tmp_path / "none").model_dump()
    del own[part][name]
    (tmp_path / "messages.yaml").write_text(yaml.safe_dump(own))
    with pytest.raises(MarketingError, match=rf"messages\.yaml.*{part}: {name} is missing"):
        read_words(tmp_path)
