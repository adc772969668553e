import pytest

from bentos.intent_service.openapi_file import OPENAPI_FILE, openapi_text

pytestmark = pytest.mark.contract


def test_the_committed_document_is_that_of_the_service() -> None:
    assert OPENAPI_FILE.read_text(encoding="utf-8") == openapi_text(), (
        "the service's interface has changed: run `make openapi`, look at the difference as a caller would, commit it"
    )
