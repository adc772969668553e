// The desk: a question, what the desk would say, where that comes from, and when a person takes over.

import { byId, el } from "./dom.js";
import { nameOf, percent, t } from "./language.js";
import { newest } from "./sessions.js";
import { highlighted } from "./views.js";

const KIND = "answer_index";
const CANDIDATES = 3;
const SHOWN = 220;

const short = (text) => {
  const letters = Array.from(text);
  return letters.length > SHOWN ? `${letters.slice(0, SHOWN - 1).join("")}…` : text;
};

/** `template:<intent>`, `passage:<id>`, `generated:<id>,<id>` or `handover`, as people say it. */
function sourceWords(source) {
  const at = source.indexOf(":");
  const [kind, of] = at < 0 ? [source, ""] : [source.slice(0, at), source.slice(at + 1)];
  if (kind === "template") return t("sourceTemplate", { intent: nameOf("intent", of) });
  if (kind === "passage") return t("sourcePassage", { id: of });
  if (kind === "generated") return t("sourceGenerated", { ids: of.split(",").join(", ") });
  return t("sourceHandover");
}

/** The box to ask the desk; `ask(path, body)` asks the service. */
export class Desk {
  #session = null;
  #last = null;
  #turn = 0;
  #released = true; // until a status says otherwise

  constructor(ask) {
    this.ask = ask;
    byId("desk").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(byId("desk-question").value);
    });
    byId("desk-newest").addEventListener("click", () => {
      byId("desk-question").value = newest(this.#session).utterance;
      byId("desk-question").focus();
    });
  }

  /** The session whose visit a person who takes over would see. */
  look(session) {
    this.#session = session;
    byId("desk-newest").hidden = session === null || !newest(session).utterance;
  }

  follow(release) {
    this.#released = release ? KIND in release.components : false;
    this.draw();
  }

  draw() {
    byId("desk-do").disabled = !this.#released;
    byId("desk-question").placeholder = t("deskExample");
    const last = this.#last;
    const parts = [];
    if (!this.#released) parts.push(el("p", { class: "quiet" }, t("notReleased")));
    if (last?.busy) parts.push(el("p", { class: "quiet" }, t("deskBusy")));
    if (last?.problem) parts.push(el("p", { class: "problem" }, t("failed", { message: last.problem })));
    if (last?.answer) parts.push(...this.#answer(last));
    byId("desk-answer").replaceChildren(...parts);
  }

  #answer({ question, answer }) {
    return [
      el("p", { class: answer.source === "handover" ? "verdict" : "quiet" }, sourceWords(answer.source)),
      el("blockquote", { class: "said" }, answer.answer),
      answer.key_information.length ? el("p", { class: "asked" }, highlighted(question, answer.key_information)) : null,
      answer.candidates.length
        ? el("ol", { class: "candidates", "aria-label": t("deskCandidates") }, answer.candidates.map((found) => el("li", {}, el("b", {}, percent(found.score)), el("span", {}, short(found.text)), el("span", { class: "item-id" }, found.id))))
        : null,
    ].filter((node) => node !== null);
  }

  async #submit(question) {
    const turn = ++this.#turn;
    this.#last = { busy: true };
    this.draw();
    const body = { question, k: CANDIDATES, ...(this.#session ? { session_id: this.#session.id } : {}) };
    let last;
    try {
      last = { question, answer: await this.ask("v1/answer", body) };
    } catch (error) {
      last = { problem: error.message };
    }
    if (turn !== this.#turn) return;
    this.#last = last;
    this.draw();
  }
}
