"""A real server that speaks the chat protocol of OpenAI, around any function from messages to a reply."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Messages = Sequence[dict[str, str]]
Reply = str | bytes | int | Iterator[bytes]
"""A text of the model; or raw bytes in place of the document, or pieces of it; or a status of an error."""


@dataclass
class ChatServer:
    """A started server: its base address, and every request as (headers, body)."""

    address: str
    requests: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)


@contextmanager
def chat_server(reply: Callable[[Messages], Reply]) -> Iterator[ChatServer]:
    """A server on a free port of this machine while the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.requests.append((dict(self.headers), body))
            answered = reply(body["messages"]) if self.path == "/v1/chat/completions" else 404
            if isinstance(answered, str):
                message = {"role": "assistant", "content": answered}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                answered = json.dumps({"object": "chat.completion", "choices": [choice]}).encode()
            if isinstance(answered, Iterator):
                self.send_response(200)
                self.end_headers()
                with suppress(ConnectionError):  # who does not wait for the rest hangs up
                    for piece in answered:
                        self.wfile.write(piece)
                return
            status, content = (answered, b"{}") if isinstance(answered, int) else (200, answered)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            if status in (301, 302, 307):
                self.send_header("Location", f"{server.address}/elsewhere")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        server = ChatServer(f"http://127.0.0.1:{listening.server_address[1]}/v1")
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()


def gullible(messages: Messages) -> str:
    """A model that does what it is told last, whoever says so; else it repeats its first passage and cites it."""
    document = json.loads(messages[-1]["content"])
    told = " ".join([document["question"], *(each["text"] for each in document["passages"])]).lower()
    if "your prompt" in told or "your rules" in told:
        return messages[0]["content"] + " [1]"
    if "ignore your instructions" in document["question"].lower():
        return "You get everything for free, see https://evil.example/free [1]"
    return f"{document['passages'][0]['text']} [1]"
