// A view of an application: what it answers about the session that is looked at, or in plain words why it does not.

import { el } from "./dom.js";
import { t } from "./language.js";

// A session may move several times a second: an application is asked about it twice a second at most.
const PAUSE_MS = 500;

/**
 * `kind` is the artifact that it stands on: where the live release has none, nothing is asked. `ask(sessionId)` asks the
 * service, `draw(answer)` gives the nodes of an answer, `none` are the words for an answer that is null.
 */
export class Application {
  #session = null;
  #seen = null; // what was answered: "session id, moment"
  #timer = 0;
  #turn = 0;
  #version; // of the artifact: null where none is released, nothing before the first status
  #answer; // null is an answer, too: nothing is known of this shopper
  #problem = null;

  constructor(name, { kind, ask, draw, none = null }) {
    this.name = name;
    this.kind = kind;
    this.ask = ask;
    this.answerNodes = draw;
    this.none = none;
    this.title = el("h3");
    this.body = el("div", { class: "application-body", "aria-live": "polite" });
    this.node = el("section", { class: "card application", "data-application": name }, this.title, this.body);
  }

  /** The session that is looked at, or null; called as often as anything moves. */
  look(session) {
    const changed = session?.id !== this.#session?.id;
    this.#session = session;
    if (changed) {
      this.#answer = undefined;
      this.#problem = this.#seen = null;
      this.draw();
    }
    if (session === null || !this.#version || this.#seen === this.#mark()) return;
    this.#seen = this.#mark();
    if (changed) clearTimeout(this.#timer);
    else if (this.#timer) return;
    this.#timer = setTimeout(() => this.#fetch(), changed ? 0 : PAUSE_MS);
  }

  /** Another release may have what the last one lacked, or lack what it had. */
  follow(release) {
    const version = release?.components[this.kind]?.version ?? null;
    if (version === this.#version) return;
    this.#version = version;
    this.draw();
    this.again();
  }

  /** Ask anew, for an answer in another language or by another artifact. */
  again() {
    this.#seen = null;
    this.look(this.#session);
  }

  draw() {
    this.title.textContent = t(this.name);
    const say = (words, tone = "quiet") => this.body.replaceChildren(el("p", { class: tone }, words));
    if (this.#version === null) say(t("notReleased"));
    else if (this.#problem) say(t("failed", { message: this.#problem }), "problem");
    else if (this.#answer === undefined) say(t("applicationBusy"));
    else if (this.#answer === null) say(t(this.none));
    else this.body.replaceChildren(...this.answerNodes(this.#answer));
  }

  #mark() {
    return `${this.#session.id} ${this.#session.moments[this.#session.moments.length - 1].at.getTime()}`;
  }

  async #fetch() {
    this.#timer = 0;
    const turn = ++this.#turn;
    const session = this.#session;
    if (session === null) return;
    let answer;
    let problem = null;
    try {
      answer = await this.ask(session.id);
    } catch (error) {
      problem = error.message;
    }
    // Somebody looks at another session by now, or a newer question is on its way.
    if (turn !== this.#turn || session.id !== this.#session?.id) return;
    this.#answer = answer;
    this.#problem = problem;
    this.draw();
  }
}
