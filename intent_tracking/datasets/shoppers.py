"""Reader of Online Shoppers: sessions of a web shop as aggregates, and whether they ended in a purchase."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from intent_tracking.datasets.utterances import read_rows


@dataclass(frozen=True)
class ShopperSession:
    """One session.

    Pages and seconds by kind of page; `bounce_rates`, `exit_rates` and `page_values` are means of Google Analytics over
    the pages seen. `page_values` is worked out from the transactions that followed a page: it leaks the outcome, and
    every figure is given with it and without it. `special_day`: closeness to a day of gifts, 0..1.
    """

    administrative: int
    administrative_seconds: float
    informational: int
    informational_seconds: float
    product_related: int
    product_related_seconds: float
    bounce_rates: float
    exit_rates: float
    page_values: float
    special_day: float
    month: str
    operating_system: str
    browser: str
    region: str
    traffic_type: str
    visitor_type: str
    weekend: bool
    purchased: bool


def read_online_shoppers(folder: Path) -> tuple[ShopperSession, ...]:
    """All 12,330 sessions in the order of the file; 125 repeat an earlier one and are kept, as in published figures."""
    return tuple(
        ShopperSession(
            administrative=int(row["Administrative"]),
            administrative_seconds=float(row["Administrative_Duration"]),
            informational=int(row["Informational"]),
            informational_seconds=float(row["Informational_Duration"]),
            product_related=int(row["ProductRelated"]),
            product_related_seconds=float(row["ProductRelated_Duration"]),
            bounce_rates=float(row["BounceRates"]),
            exit_rates=float(row["ExitRates"]),
            page_values=float(row["PageValues"]),
            special_day=float(row["SpecialDay"]),
            month=row["Month"],
            operating_system=row["OperatingSystems"],
            browser=row["Browser"],
            region=row["Region"],
            traffic_type=row["TrafficType"],
            visitor_type=row["VisitorType"],
            weekend=row["Weekend"] == "TRUE",
            purchased=row["Revenue"] == "TRUE",
        )
        for row in read_rows(folder / "online_shoppers_intention.csv")
    )
