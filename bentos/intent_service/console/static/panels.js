// The tools beside the session: what serves, a text to try, a key to give.

import { byId, el } from "./dom.js";
import { ago, day, nameOf, t } from "./language.js";
import { bars, highlighted, reasons } from "./views.js";

const SCENES = ["customer_service", "search", "browse", "cart", "marketing"];

/** What serves: model, release, drift. */
export function drawFacts(status) {
  const fact = (name, value, more, tone) => el("div", { class: tone ? `fact ${tone}` : "fact" }, el("dt", {}, name), el("dd", {}, el("b", {}, value), more ? el("span", {}, more) : null));
  if (status === null) {
    byId("facts").replaceChildren();
    return;
  }
  const { release, trouble, drift } = status;
  const facts = [];
  if (release) {
    facts.push(fact(t("model"), release.model_version, t("loaded", { time: ago(new Date(release.loaded_at)) })));
    facts.push(fact(t("release"), String(release.number), release.refused ? t("refused", { why: release.refused }) : release.reason, release.refused ? "bad" : null));
  } else {
    facts.push(fact(t("model"), t("noModel"), trouble ?? t("noModelWords"), "bad"));
  }
  if (drift === null) facts.push(fact(t("drift"), t("driftNone"), null));
  else {
    const on = day(new Date(`${drift.day}T00:00:00Z`));
    const more = drift.verdict === "drifted" && drift.columns.length ? t("driftColumns", { day: on, columns: drift.columns.join(", ") }) : t("driftDay", { day: on, count: drift.compared });
    facts.push(fact(t("drift"), t(`drift_${drift.verdict}`), more, { drifted: "bad", unreadable: "bad", steady: "good" }[drift.verdict]));
  }
  byId("facts").replaceChildren(...facts);
}

/** The box to try a text. `read(text, scene)` and `explain(text, scene)` ask the service. */
export class TryBox {
  #last = null;
  #turn = 0;

  constructor({ read, explain }) {
    this.read = read;
    this.explain = explain;
    byId("try").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask(byId("try-text").value, byId("try-scene").value);
    });
    byId("try-text").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("try").requestSubmit();
    });
  }

  draw() {
    const select = byId("try-scene");
    const chosen = select.value || SCENES[0];
    select.replaceChildren(...SCENES.map((scene) => el("option", { value: scene, selected: scene === chosen }, nameOf("scene", scene))));
    byId("try-text").placeholder = t("tryExample");
    this.#answer();
  }

  async #ask(text, scene) {
    const turn = ++this.#turn;
    this.#last = { text, busy: true };
    this.#answer();
    try {
      const { predictions } = await this.read(text, scene);
      if (turn !== this.#turn) return;
      this.#last = { text, prediction: predictions[0] };
      this.#answer();
      const why = await this.explain(text, scene);
      if (turn !== this.#turn) return;
      this.#last.why = why;
    } catch (error) {
      if (turn !== this.#turn) return;
      this.#last = { ...this.#last, busy: false, problem: error.message };
    }
    this.#answer();
  }

  #answer() {
    const last = this.#last;
    const parts = [];
    if (last?.busy) parts.push(el("p", { class: "quiet" }, t("tryBusy")));
    if (last?.prediction) {
      const { intents, out_of_scope, key_information } = last.prediction;
      if (out_of_scope) parts.push(el("p", { class: "verdict" }, t("unknownIntent")));
      parts.push(bars(intents), el("blockquote", {}, highlighted(last.text, key_information, last.why?.words ?? [])));
      if (last.why) parts.push(reasons(last.why));
    }
    if (last?.problem) parts.push(el("p", { class: "problem" }, t("failed", { message: last.problem })));
    byId("try-answer").replaceChildren(...parts);
  }
}

const KEPT = "intent-console-key";

/** The key of this tab, asked for when the service wants one. */
export class Key {
  #onKey;

  constructor(onKey) {
    this.#onKey = onKey;
    byId("key-form").addEventListener("submit", (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEPT, byId("key").value.trim());
      byId("key").value = "";
      byId("key-dialog").close();
      this.#onKey();
    });
  }

  headers() {
    const key = sessionStorage.getItem(KEPT);
    return key ? { Authorization: `Bearer ${key}` } : {};
  }

  get given() {
    return sessionStorage.getItem(KEPT) !== null;
  }

  ask() {
    byId("key-problem").textContent = this.given ? t("keyWrong") : "";
    sessionStorage.removeItem(KEPT);
    if (!byId("key-dialog").open) byId("key-dialog").showModal();
  }
}
