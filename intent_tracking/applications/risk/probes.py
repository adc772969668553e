"""Cases of which everybody knows what they are: a model that judges one otherwise is not published."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field

from intent_tracking.applications.risk.features import BY_NAME, Kind
from intent_tracking.applications.risk.model import Decision, RiskModel

_FILE: Final = Path(__file__).with_name("probes.yaml")


class Probe(BaseModel):
    """One case, and whether it must be flagged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Kind
    flagged: bool
    values: Annotated[dict[str, float], Field(min_length=1)]


@lru_cache(maxsize=1)
def probes() -> tuple[Probe, ...]:
    """The shipped probes."""
    found = tuple(Probe.model_validate(each) for each in yaml.safe_load(_FILE.read_text(encoding="utf-8")))
    unknown = sorted({name for probe in found for name in probe.values} - set(BY_NAME))
    if unknown:
        raise ValueError(f"{_FILE}: there is no feature {unknown[0]!r}")
    return found


def wrong_probes(model: RiskModel) -> list[str]:
    """What the model says otherwise, in words; empty when all is well."""
    found = []
    for probe in probes():
        said = model.assess(probe.kind, probe.values)
        if (said.decision is not Decision.ALLOW) is not probe.flagged:
            wanted = "be flagged" if probe.flagged else "be allowed"
            found.append(
                f"{probe.name} must {wanted}, and has the score {said.score:.3f} where "
                f"{model.review_at(probe.kind):.3f} is reviewed"
            )
    return found
