"""What a shop declares: its audiences, how often somebody may be written to, and how large the control group is.

The shipped `audiences.yaml` holds until `<home>/marketing/audiences.yaml` takes its place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from intent_tracking.applications.marketing.propensity_features import HISTORY_DAYS
from intent_tracking.applications.shop_file import Declared, ShopFile

RULES_FILE: Final = "audiences.yaml"

Share = Annotated[float, Field(ge=0, le=1)]
Days = Annotated[int, Field(ge=1, le=730)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")]


class MarketingError(ValueError):
    """A file of the shop is not as described; the message names file, place and remedy."""


class Cap(Declared):
    """At most so many contacts on a channel in so many days, the day itself included."""

    contacts: Annotated[int, Field(ge=0)]
    days: Days


class _Audience(Declared):
    """What every audience declares.

    Attributes:
        priority: who is in several audiences gets the one with the highest.
        channels: where to write, the preferred one first; the first with consent and room under its cap is taken.
        campaign: what the control group is drawn for; unset: the name of the audience. A new name draws anew.
        words: under which name `messages.yaml` holds the messages; unset: the rule.
    """

    priority: int
    channels: Annotated[tuple[Name, ...], Field(min_length=1)]
    campaign: Name | None = None
    words: Name | None = None


class LookedNotBought(_Audience):
    """Looked at an item again and again, or put it into the cart, and has bought nothing since.

    Who is likely to come back anyway is reminded; below `coupon_below` (the propensity) there is a coupon.
    """

    rule: Literal["looked_not_bought"]
    within_days: Days
    views_at_least: Annotated[int, Field(ge=1)]
    coupon_below: Share


class FollowsBrand(_Audience):
    """Looks at one brand more than at others, and the brand has items that the shopper has not seen.

    An item is new where it was first seen in the last `new_days`, with this name and brand by at least
    `new_item_shoppers` different shoppers: one visitor's browser alone puts no name into anybody else's message.
    """

    rule: Literal["follows_brand"]
    within_days: Days
    views_at_least: Annotated[int, Field(ge=1)]
    share_at_least: Share
    new_days: Days
    new_item_shoppers: Annotated[int, Field(ge=2)]


class Lapsing(_Audience):
    """Has not bought for `times_cadence` times the own usual pause, and not longer than `lost_after_days`."""

    rule: Literal["lapsing"]
    order_days_at_least: Annotated[int, Field(ge=3)]
    times_cadence: Annotated[float, Field(gt=1)]
    lost_after_days: Days


class ReadyToBuy(_Audience):
    """Will most likely buy within 30 days: a discount would be given away."""

    rule: Literal["ready_to_buy"]
    propensity_at_least: Share


class BargainHunter(_Audience):
    """Shows at least `signals_at_least` of three: intents of bargain, coupons used, the lowest prices looked at."""

    rule: Literal["bargain_hunter"]
    within_days: Days
    intents: Annotated[tuple[str, ...], Field(min_length=1)]
    intent_share_at_least: Share
    sessions_at_least: Annotated[int, Field(ge=1)]
    coupon_share_at_least: Share
    price_quantile_at_most: Share
    signals_at_least: Annotated[int, Field(ge=1, le=3)]


Audience = Annotated[LookedNotBought | FollowsBrand | Lapsing | ReadyToBuy | BargainHunter, Field(discriminator="rule")]


class EffectPlan(Declared):
    """How the effect is measured.

    Attributes:
        outcome_days: purchases this long after the first contact count.
        report_days: who was first contacted this long before the last complete outcome is looked at.
        worthwhile_difference: of the share that buys; smaller ones need not be found.
        level: of the intervals. power: of the sample that is asked for.
    """

    outcome_days: Days
    report_days: Days
    worthwhile_difference: Annotated[float, Field(gt=0, lt=1)]
    level: Annotated[float, Field(gt=0.5, lt=1)]
    power: Annotated[float, Field(gt=0.5, lt=1)]


class MarketingRules(Declared):
    """The content of `audiences.yaml`.

    Attributes:
        control_share: of the members of a campaign who are left in peace, so that the effect can be measured.
        history_days: how far the rules look back: no less than the propensity model, which reads the same events.
    """

    control_share: Annotated[float, Field(ge=0, lt=1)]
    history_days: Annotated[int, Field(ge=HISTORY_DAYS, le=730)]
    caps: dict[Name, Cap]
    effect: EffectPlan
    audiences: dict[Name, Audience]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name, audience in self.audiences.items():
            unknown = sorted(set(audience.channels) - self.caps.keys())
            if unknown:
                raise ValueError(f"audiences.{name}.channels: {', '.join(unknown)} has no cap; declare one under caps")
        priorities = [audience.priority for audience in self.audiences.values()]
        if len(set(priorities)) < len(priorities):
            raise ValueError("audiences: two have the same priority; give each its own")
        return self

    def campaign_of(self, name: str) -> str:
        """What the control group of an audience is drawn for."""
        return self.audiences[name].campaign or name


_FILE: Final = ShopFile(MarketingRules, Path(__file__).with_name(RULES_FILE), MarketingError)


def shipped_rules() -> MarketingRules:
    """The rules that hold while the shop has none of its own."""
    return _FILE.read_shipped()


def read_rules(folder: Path) -> MarketingRules:
    """The shop's own rules in `folder` (`Settings.marketing`), else the shipped ones.

    Raises:
        MarketingError: the file is not YAML or not as described.
    """
    return _FILE.read_instead(folder / RULES_FILE)
