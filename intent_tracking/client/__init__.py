"""A typed client of the intent service, synchronous and asynchronous, with a buffer that outlives outages.

It needs httpx and nothing else of this project's dependencies, so a shop's own code can carry it. See docs/client.md.
"""

from intent_tracking.client.answers import (
    BehaviourWeight,
    Candidate,
    DeskAnswer,
    ErasedPlace,
    Erasure,
    Explanation,
    Intent,
    IntentAnswer,
    KeyInformation,
    Profile,
    ProfileTrait,
    Recommendations,
    RecommendedItem,
    Rejected,
    Release,
    ReleasedComponent,
    Risk,
    Session,
    TextPrediction,
    TrackAnswer,
    Words,
    WordWeight,
)
from intent_tracking.client.buffer import AsyncTrackBuffer, TrackBuffer
from intent_tracking.client.client import AsyncIntentClient, IntentClient
from intent_tracking.client.delivery import RejectedEvent
from intent_tracking.client.errors import (
    EventError,
    IntentClientError,
    NoAnswerError,
    NotDeliveredError,
    OutboxError,
    OutboxFullError,
    ServiceError,
    UnexpectedAnswerError,
)
from intent_tracking.client.events import Event, Item, Params
from intent_tracking.client.retrying import Retry

__all__ = [
    "AsyncIntentClient",
    "AsyncTrackBuffer",
    "BehaviourWeight",
    "Candidate",
    "DeskAnswer",
    "ErasedPlace",
    "Erasure",
    "Event",
    "EventError",
    "Explanation",
    "Intent",
    "IntentAnswer",
    "IntentClient",
    "IntentClientError",
    "Item",
    "KeyInformation",
    "NoAnswerError",
    "NotDeliveredError",
    "OutboxError",
    "OutboxFullError",
    "Params",
    "Profile",
    "ProfileTrait",
    "Recommendations",
    "RecommendedItem",
    "Rejected",
    "RejectedEvent",
    "Release",
    "ReleasedComponent",
    "Retry",
    "Risk",
    "ServiceError",
    "Session",
    "TextPrediction",
    "TrackAnswer",
    "TrackBuffer",
    "UnexpectedAnswerError",
    "WordWeight",
    "Words",
]
