"""What must hold for `session_texts`: what the model reads."""

from typing import TYPE_CHECKING

from expectations.sessions import LANGUAGES

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite

REQUIRED = ("session_id", "shopper_id", "scene", "language", "cutoff_time", "text", "kind", "copies")
KINDS = ("session", "message")
# Looser than the scrubber on purpose: this is the second look that finds what the first one let through.
EMAIL = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+\.[A-Za-z]{2,}"
CHINESE_MOBILE = r"(?<!\d)1[3-9]\d{9}(?!\d)"
CHINESE_ID = r"(?<!\d)\d{17}[\dXx](?!\d)"


def suite() -> "ExpectationSuite":
    """One text a session or message, opened by its scene token, cut before the outcome, without personal data."""
    import re

    import great_expectations as gx
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    from intent_tracking.events.contract import Scene
    from intent_tracking.sessions.vocabulary import SCENE_TOKENS

    scenes = "|".join(re.escape(token) for token in SCENE_TOKENS.values())
    return gx.ExpectationSuite(
        name="session_texts",
        expectations=[
            *(gxe.ExpectColumnValuesToNotBeNull(column=column) for column in REQUIRED),
            gxe.ExpectCompoundColumnsToBeUnique(
                column_list=["session_id", "kind", "event_id"], notes="one text a session, and one a message of it"
            ),
            gxe.ExpectColumnValuesToBeInSet(column="kind", value_set=list(KINDS)),
            gxe.ExpectColumnValuesToNotBeNull(
                column="outcome", row_condition=Column("kind") == "session", notes="a session buys or does not"
            ),
            gxe.ExpectColumnValuesToNotBeNull(
                column="event_id", row_condition=Column("kind") == "message", notes="a message is an event"
            ),
            gxe.ExpectColumnValuesToBeBetween(column="copies", min_value=1),
            gxe.ExpectColumnValuesToBeInSet(column="scene", value_set=[scene.value for scene in Scene]),
            gxe.ExpectColumnValuesToBeInSet(column="language", value_set=list(LANGUAGES)),
            gxe.ExpectColumnValuesToBeBetween(column="visible_events", min_value=1),
            gxe.ExpectColumnValuesToMatchRegex(
                column="text", regex=f"^(?:{scenes})", notes="the first token names the scene"
            ),
            gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                column_A="utterance_end", column_B="utterance_start", or_equal=True
            ),
            gxe.ExpectColumnValuesToNotMatchRegexList(
                column="text",
                regex_list=[EMAIL, CHINESE_MOBILE, CHINESE_ID],
                mostly=0.999,  # logo@2x.png and an order number of eleven digits look alike and are none
                notes="personal data is replaced by placeholders before it is stored",
            ),
        ],
    )
