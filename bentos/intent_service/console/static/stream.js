// Server-sent events by fetch: EventSource cannot send a key. Reconnects by itself and asks for what it missed.

const SILENCE = 25000; // the service speaks at least every 10 s
const FIRST_WAIT = 500;
const LONGEST_WAIT = 10000;
const LONGEST_EVENT = 1 << 20;

/** Splits a stream of text into events `{name, id, data}`; what is not complete waits for the next piece. */
export class EventReader {
  #rest = "";

  *read(piece) {
    this.#rest += piece;
    let end;
    while ((end = this.#rest.indexOf("\n\n")) >= 0) {
      const block = this.#rest.slice(0, end);
      this.#rest = this.#rest.slice(end + 2);
      const event = { name: "message", id: null, data: "" };
      for (const line of block.split("\n")) {
        const at = line.indexOf(":");
        if (at <= 0) continue; // a comment
        const value = line.slice(at + 1).replace(/^ /, "");
        if (line.startsWith("event:")) event.name = value;
        else if (line.startsWith("id:")) event.id = value;
        else if (line.startsWith("data:")) event.data += value;
      }
      if (event.data) yield event;
    }
    if (this.#rest.length > LONGEST_EVENT) throw new Error("an event without end");
  }
}

/**
 * Follow `url` for as long as the page is open.
 *
 * `headers()` is asked for each try, `onEvent(name, data)` gets each event, `onState(state, detail)` each change:
 * `connecting`, `live`, `locked` (a key is missing or wrong: waits for `again`), `cut` with `{wait, message}`.
 */
export class Stream {
  #options;
  #last = null;
  #wake = null;
  #failures = 0;

  constructor(options) {
    this.#options = options;
    this.#run();
  }

  /** Try now instead of waiting. */
  again() {
    this.#failures = 0;
    this.#wake?.();
  }

  async #run() {
    for (;;) {
      this.#options.onState("connecting", {});
      let message = null;
      try {
        message = await this.#follow();
      } catch (error) {
        if (!(error instanceof TypeError || error.name === "AbortError")) message = error.message;
      }
      if (message === "locked") {
        this.#options.onState("locked", {});
        await this.#sleep(null);
        continue;
      }
      const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#failures) * (0.75 + Math.random() / 2);
      this.#failures += 1;
      this.#options.onState("cut", { until: Date.now() + wait, message });
      await this.#sleep(wait);
    }
  }

  async #follow() {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE);
    try {
      const headers = this.#options.headers();
      if (this.#last !== null) headers["Last-Event-ID"] = this.#last;
      const answer = await fetch(this.#options.url, { headers, signal: silence.signal, cache: "no-store" });
      if (answer.status === 401 || answer.status === 403) {
        if (answer.status === 401 || this.#options.hasKey()) return "locked";
      }
      if (!answer.ok) return (await answer.json()).error.message;
      const reader = new EventReader();
      const source = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await source.read();
        if (done) return null;
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE);
        if (this.#failures > 0 || value) this.#options.onState("live", {});
        this.#failures = 0;
        for (const event of reader.read(value)) {
          if (event.id !== null) this.#last = event.id;
          if (event.name === "trouble") return JSON.parse(event.data).message;
          if (event.name === "missed" && JSON.parse(event.data).reset) this.#last = null;
          this.#options.onEvent(event.name, JSON.parse(event.data));
        }
      }
    } finally {
      clearTimeout(timer);
      silence.abort();
    }
  }

  #sleep(milliseconds) {
    return new Promise((resolve) => {
      const timer = milliseconds === null ? null : setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
