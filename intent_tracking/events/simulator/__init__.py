"""The log simulator: a shop, its shoppers and their hidden intents, as the log files that the shop would deliver."""

from intent_tracking.events.simulator.config import (
    AnnotationRates,
    FaultRates,
    LanguageRates,
    SimulationConfig,
)
from intent_tracking.events.simulator.day import SimulatedDay, simulate_day, stream_day
from intent_tracking.events.simulator.intents import DRIFT_INTENTS, INTENTS
from intent_tracking.events.simulator.plan import Shop
from intent_tracking.events.simulator.run import SimulationReport, simulate

__all__ = [
    "DRIFT_INTENTS",
    "INTENTS",
    "AnnotationRates",
    "FaultRates",
    "LanguageRates",
    "Shop",
    "SimulatedDay",
    "SimulationConfig",
    "SimulationReport",
    "simulate",
    "simulate_day",
    "stream_day",
]
