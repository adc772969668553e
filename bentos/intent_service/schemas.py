"""The requests and answers of the HTTP interface, as the OpenAPI document shows them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from bentos.intent_service.limits import MAX_EVENTS, MAX_NAME_CHARACTERS, MAX_TEXT_CHARACTERS, MAX_TEXTS
from intent_tracking.events.contract import Identifier, Scene

Probability = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARACTERS)]


class Record(BaseModel):
    """A request or an answer."""

    # Strict: a number where a text belongs is a mistake of the caller, not a text.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TrackRequest(Record):
    """A batch of events of any sessions, in any order. Each is checked alone: one bad event does not lose the rest."""

    events: Annotated[list[Any], Field(min_length=1, max_length=MAX_EVENTS)]


class IntentRequest(Record):
    """Texts of one scene, for example messages to the desk."""

    texts: Annotated[list[Text], Field(min_length=1, max_length=MAX_TEXTS)]
    scene: Annotated[Scene, Field(strict=False)] = Scene.CUSTOMER_SERVICE


class ExplainRequest(Record):
    """One text of a scene; `intent` asks for another reason than that of the most probable intent."""

    text: Text
    scene: Annotated[Scene, Field(strict=False)] = Scene.CUSTOMER_SERVICE
    intent: Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS)] | None = None


class EraseRequest(Record):
    """The person to be erased, as events name the user."""

    model_config = ConfigDict(str_strip_whitespace=True)

    user_id: Identifier


class ErasedPlace(Record):
    """What was removed from one place; `complete` is false where the time did not do and the erasure job goes on."""

    place: str
    records: Annotated[int, Field(ge=0)]
    complete: bool


class EraseAnswer(Record):
    """What was removed at once, and where the erasure job goes on; `request` names its record and its proof."""

    request: str
    until: AwareDatetime
    removed: list[ErasedPlace]
    left_to_job: list[str]


class Intent(Record):
    """One thing the shopper may want, with its calibrated probability."""

    name: str
    probability: Probability


class KeyInformation(Record):
    """A value that the shopper named: `text[start:end]` of the utterance."""

    name: str
    value: str
    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=0)]


class Rejected(Record):
    """Why the event at `index` of the request was not accepted."""

    index: Annotated[int, Field(ge=0)]
    reason: str


class SessionAnswer(Record):
    """What one session looks like after its new events."""

    session_id: str
    scene: Scene
    intents: list[Intent]
    out_of_scope: bool
    key_information: list[KeyInformation]
    purchase_probability: Probability | None
    actions: list[str]


class TrackAnswer(Record):
    """What was stored, and what the sessions that it belongs to look like now."""

    accepted: Annotated[int, Field(ge=0)]
    duplicates: Annotated[int, Field(ge=0)]
    rejected: list[Rejected]
    sessions: list[SessionAnswer]
    model_version: str | None


class TextPrediction(Record):
    """What one text says."""

    intents: list[Intent]
    out_of_scope: bool
    key_information: list[KeyInformation]


class IntentAnswer(Record):
    """One prediction for each text, in the order given."""

    predictions: list[TextPrediction]
    model_version: str


class WordWeight(Record):
    """What a word counts for the intent, as probability: `text[start:end]` of the text sent; below 0 speaks against."""

    text: str
    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=0)]
    weight: float


class BehaviourWeight(Record):
    """What the scene, or the kind of event, counts for the intent."""

    text: str
    weight: float


class ExplainAnswer(Record):
    """Why the text has its intent."""

    intent: str
    probability: Probability
    words: list[WordWeight]
    behaviour: list[BehaviourWeight]
    method: str
    model_version: str


class ReleasedComponent(Record):
    """The exact version of one live artifact."""

    version: str
    manifest_sha256: str


class ReleaseAnswer(Record):
    """Which release this process serves, and what it could not load."""

    number: int
    model_version: str
    created_at: AwareDatetime
    loaded_at: AwareDatetime
    reason: str
    components: dict[str, ReleasedComponent]
    refused: Annotated[
        str | None,
        Field(description="Why a newer release is not served, or this one without an application; else null."),
    ]


class Health(Record):
    """Alive, or ready to answer."""

    status: str
