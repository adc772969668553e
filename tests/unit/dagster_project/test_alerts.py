"""Alerts reach the log always, and a webhook where one is set."""

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import dagster as dg
import pytest

from dagster_project.definitions import build_definitions
from dagster_project.resources.alerts import Alerts
from intent_tracking.settings import Settings

pytestmark = pytest.mark.unit


@pytest.fixture
def webhook():
    received = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            return

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", received
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_alert_without_a_webhook_is_logged(caplog):
    with caplog.at_level(logging.WARNING, logger="dagster_project.alerts"):
        Alerts().send("retrain_job failed", "disk full")
    assert "retrain_job failed: disk full" in caplog.text


def test_an_alert_is_posted_as_json_with_its_tags(webhook):
    address, received = webhook
    Alerts(webhook=address).send("失败", "磁盘已满", {"job": "ingest_job"})
    assert received == [{"title": "失败", "text": "磁盘已满", "tags": {"job": "ingest_job"}}]


def test_a_webhook_that_is_no_http_address_is_refused_with_the_setting_to_mend():
    with pytest.raises(ValueError, match="INTENT_ALERT_WEBHOOK"):
        Alerts(webhook="file:///etc/passwd").send("a", "b")


def test_the_address_of_the_webhook_is_not_shown_with_the_resources(tmp_path):
    secret = "https://chat.example/hooks/hush"
    definitions = build_definitions(Settings(home=tmp_path, alert_webhook=secret))
    alerts = definitions.resources["alerts"]
    assert alerts.webhook == secret
    assert "hush" not in repr(alerts)
    shown = definitions.get_repository_def().get_top_level_resources()["alerts"]
    assert "hush" not in str(shown.config_schema.default_value if shown.config_schema.default_provided else "")
    assert not isinstance(alerts, dg.ConfigurableResource)
