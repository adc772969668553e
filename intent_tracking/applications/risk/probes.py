"""Cases of which everybody knows what they are: a model that judges one otherwise is not published."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field

from intent_tracking.applications.risk.features import BY_NAME, Kind, Order, OrderItem, order_values
from intent_tracking.applications.risk.model import SEVERITY, Decision, RiskModel
from intent_tracking.applications.risk.shop import Shop, complete

_FILE: Final = Path(__file__).with_name("probes.yaml")
_NOON: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
# No currency of any shop (ISO 4217).
_ANY_CURRENCY: Final = "XXX"
_MUST: Final = {Decision.ALLOW: "be allowed", Decision.REVIEW: "not be blocked"}


class Probe(BaseModel):
    """One case, and which decisions are right: from `least` to `most`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Kind
    least: Decision = Decision.ALLOW
    most: Decision = Decision.BLOCK
    values: Annotated[dict[str, float], Field(min_length=1)]


@lru_cache(maxsize=1)
def probes() -> tuple[Probe, ...]:
    """The shipped probes."""
    found = tuple(Probe.model_validate(each) for each in yaml.safe_load(_FILE.read_text(encoding="utf-8")))
    unknown = sorted({name for probe in found for name in probe.values} - set(BY_NAME))
    if unknown:
        raise ValueError(f"{_FILE}: there is no feature {unknown[0]!r}")
    return found


def usual_orders(shop: Shop) -> Iterator[Probe]:
    """The usual order of `shop` in each of its currencies: one thing, paid at once, by somebody nothing is known of.

    Where the stored orders tell none, also one that does: so does every order of which the value is asked about.
    """
    usual = list(shop.usual_amount.items())
    if shop.main_currency == "":
        usual.append((_ANY_CURRENCY, shop.usual_amount[""]))
    for currency, amount in usual:
        order = Order(amount, currency, _NOON, (OrderItem("", amount, 1),))
        seen = {"session_value": amount, "session_max_quantity": 1.0, "payment_attempts": 1.0}
        values = complete(shop, seen | order_values(order), order, frozenset({currency}))
        name = f"a usual order in {currency or 'no currency'}"
        yield Probe(name=name, kind=Kind.ORDER, most=Decision.ALLOW, values=values)


def wrong_probes(model: RiskModel) -> list[str]:
    """What the model says otherwise, in words; empty when all is well."""
    found = []
    for probe in (*probes(), *usual_orders(model.shop)):
        said = model.assess(probe.kind, probe.values)
        if SEVERITY[probe.least] <= SEVERITY[said.decision] <= SEVERITY[probe.most]:
            continue
        wanted = _MUST[probe.most] if SEVERITY[said.decision] > SEVERITY[probe.most] else "be flagged"
        found.append(
            f"{probe.name} must {wanted}, and has the score {said.score:.3f} where "
            f"{model.review_at(probe.kind):.3f} is reviewed and {model.policy.block_at:.3f} blocked"
        )
    return found
