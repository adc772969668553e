"""The day-partitioned tables of a home directory: each name and its schema in one place."""

from dataclasses import dataclass
from pathlib import Path

from intent_tracking.tables import DayTable


@dataclass(frozen=True)
class Tables:
    """Hands out the tables under `root` (`INTENT_HOME/tables`)."""

    root: Path

    @property
    def raw_events(self) -> DayTable:
        """Log lines as they came, free text masked."""
        from intent_tracking.events.quarantine import RAW_SCHEMA

        return DayTable(self.root, "raw_events", RAW_SCHEMA)

    @property
    def validated_events(self) -> DayTable:
        """Events that meet the contract, once each."""
        from intent_tracking.events.contract import EVENT_SCHEMA

        return DayTable(self.root, "validated_events", EVENT_SCHEMA)

    @property
    def quarantined_events(self) -> DayTable:
        """Log lines that do not meet the contract, with the reason."""
        from intent_tracking.events.quarantine import QUARANTINE_SCHEMA

        return DayTable(self.root, "quarantined_events", QUARANTINE_SCHEMA)

    @property
    def sessions(self) -> DayTable:
        """Sessions by the day they start on."""
        from intent_tracking.sessions.sessionise import SESSION_SCHEMA

        return DayTable(self.root, "sessions", SESSION_SCHEMA)

    @property
    def session_texts(self) -> DayTable:
        """What the model would have read of each session at its cut-off."""
        from intent_tracking.sessions.texts import SESSION_TEXT_SCHEMA

        return DayTable(self.root, "session_texts", SESSION_TEXT_SCHEMA)

    @property
    def served_predictions(self) -> DayTable:
        """What the service answered, by the day of the event that it answered to."""
        from intent_tracking.prediction_log import PREDICTION_SCHEMA

        return DayTable(self.root, "served_predictions", PREDICTION_SCHEMA)

    @property
    def user_features(self) -> DayTable:
        """Feature values of each shopper at the end of the day."""
        from intent_tracking.features.schema import USER_FEATURE_SCHEMA

        return DayTable(self.root, "user_features", USER_FEATURE_SCHEMA)

    @property
    def item_features(self) -> DayTable:
        """Feature values of each item at the end of the day."""
        from intent_tracking.features.schema import ITEM_FEATURE_SCHEMA

        return DayTable(self.root, "item_features", ITEM_FEATURE_SCHEMA)

    @property
    def user_segments(self) -> DayTable:
        """The segment of each shopper at the end of the day."""
        from intent_tracking.features.derived import USER_SEGMENT

        return DayTable(self.root, USER_SEGMENT.table, USER_SEGMENT.schema)

    @property
    def user_items(self) -> DayTable:
        """The items that each shopper dealt with, at the end of the day."""
        from intent_tracking.features.derived import USER_ITEMS

        return DayTable(self.root, USER_ITEMS.table, USER_ITEMS.schema)

    @property
    def audiences(self) -> DayTable:
        """Whom marketing may write to, why, and who is held back."""
        from intent_tracking.applications.marketing.audiences import AUDIENCE_SCHEMA

        return DayTable(self.root, "audiences", AUDIENCE_SCHEMA)

    @property
    def audience_contacts(self) -> DayTable:
        """Whom the files of the day let be written to, and who of the control groups would have been."""
        from intent_tracking.applications.marketing.consent import CONTACT_SCHEMA

        return DayTable(self.root, "audience_contacts", CONTACT_SCHEMA)

    @property
    def risk_cases(self) -> DayTable:
        """What each session and order looks like to risk control."""
        from intent_tracking.applications.risk.cases import RISK_CASE_SCHEMA

        return DayTable(self.root, "risk_cases", RISK_CASE_SCHEMA)

    @property
    def risk_scores(self) -> DayTable:
        """How risky each session and order is, and why."""
        from intent_tracking.applications.risk.review import RISK_SCORE_SCHEMA

        return DayTable(self.root, "risk_scores", RISK_SCORE_SCHEMA)
