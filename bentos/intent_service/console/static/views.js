// The list of sessions and the one that is looked at.

import { Chart } from "./chart.js";
import { byId, el } from "./dom.js";
import { ago, nameOf, percent, t } from "./language.js";
import { newest, SIMULATED } from "./sessions.js";

const LEVELS = 5;

/** `text` with `spans` marked; their offsets count characters as Python does, not UTF-16 units. */
export function highlighted(text, spans, words = []) {
  const letters = Array.from(text);
  const strongest = Math.max(...words.map((word) => Math.abs(word.weight)), 0);
  const cuts = new Set([0, letters.length]);
  for (const span of [...spans, ...words]) cuts.add(span.start).add(span.end);
  const places = [...cuts].filter((place) => place <= letters.length).sort((one, other) => one - other);
  const nodes = [];
  let mark = null;
  for (let index = 0; index + 1 < places.length; index++) {
    const [start, end] = [places[index], places[index + 1]];
    const span = spans.find((each) => each.start <= start && end <= each.end);
    const word = words.find((each) => each.start <= start && end <= each.end);
    const level = word && strongest > 0 ? Math.round((Math.abs(word.weight) / strongest) * LEVELS) : 0;
    const heat = level > 0 ? `heat-${word.weight > 0 ? "for" : "against"}-${level}` : null;
    const piece = letters.slice(start, end).join("");
    const shown = heat ? el("span", { class: `heat ${heat}` }, piece) : document.createTextNode(piece);
    if (!span) {
      nodes.push(shown);
      continue;
    }
    if (mark === null || mark.span !== span) {
      mark = { span, value: el("span", { class: "value" }) };
      nodes.push(el("mark", { class: "info" }, mark.value, el("span", { class: "kind" }, nameOf("slot", span.name))));
    }
    mark.value.append(shown);
  }
  return nodes;
}

/** Bars of the most probable intents. */
export function bars(intents, count = 3) {
  return el(
    "ol",
    { class: "bars" },
    intents.slice(0, count).map((intent) => {
      const bar = el("span", { class: "bar", "aria-hidden": "true" }, el("i"));
      bar.firstChild.style.setProperty("--share", String(intent.probability));
      return el("li", {}, el("span", { class: "bar-name" }, nameOf("intent", intent.name)), el("b", {}, percent(intent.probability)), bar);
    }),
  );
}

/** The words that count, said as words too: colour alone says nothing to many. */
export function reasons(answer) {
  const sorted = [...answer.words].sort((one, other) => Math.abs(other.weight) - Math.abs(one.weight));
  const rows = [
    [t("whyFor", { intent: nameOf("intent", answer.intent) }), "for", sorted.filter((word) => word.weight > 0.005).slice(0, 4)],
    [t("whyAgainst"), "against", sorted.filter((word) => word.weight < -0.005).slice(0, 3)],
  ];
  return el(
    "div",
    { class: "reasons" },
    rows
      .filter(([, , words]) => words.length)
      .map(([title, side, words]) =>
        el("p", {}, el("span", { class: `side ${side}` }, title), words.map((word) => el("span", { class: "weighed" }, word.text, el("b", {}, `${word.weight > 0 ? "+" : "−"}${Math.abs(word.weight).toFixed(2)}`)))),
      ),
  );
}

function headline(moment) {
  const best = moment.intents[0];
  if (moment.out_of_scope || !best) return { name: t("unknownIntent"), share: null };
  if (!moment.clear) return { name: t("unclear"), share: null };
  return { name: nameOf("intent", best.name), share: best.probability };
}

function lastWords(moment) {
  const step = moment.steps[moment.steps.length - 1];
  if (!step) return "";
  return step.words ? `${nameOf("event", step.event)} · ${step.words}` : nameOf("event", step.event);
}

const eventCount = (moment) => (moment.event_count === 1 ? t("oneEvent") : t("events", { count: moment.event_count }));

/** The list: rows keep their nodes, so that focus stays, and their order while somebody points at them. */
export class SessionList {
  #rows = new Map();

  constructor(list, choose) {
    this.list = list;
    this.choose = choose;
  }

  draw(sessions) {
    const shown = sessions.list();
    for (const id of [...this.#rows.keys()]) {
      if (!shown.some((session) => session.id === id)) {
        this.#rows.get(id).item.remove();
        this.#rows.delete(id);
      }
    }
    for (const session of shown) this.#row(session, session.id === sessions.selected);
    const held = this.list.matches(":hover") || this.list.contains(document.activeElement);
    const placed = shown.map((session) => this.#rows.get(session.id).item);
    if (!held) placed.forEach((item, place) => this.list.children[place] !== item && this.list.insertBefore(item, this.list.children[place] ?? null));
    else placed.filter((item) => !item.isConnected).reverse().forEach((item) => this.list.prepend(item));
    byId("sessions-count").textContent = shown.length ? t("sessionCount", { count: shown.length }) : t("emptyList");
  }

  #row(session, selected) {
    let row = this.#rows.get(session.id);
    if (!row) {
      const button = el("button", { type: "button", onclick: () => this.choose(session.id) });
      row = { item: el("li", { "data-session": session.id }, button), button, moment: null };
      this.#rows.set(session.id, row);
    }
    const moment = newest(session);
    const { name, share } = headline(moment);
    row.button.replaceChildren(
      el("span", { class: "row-top" }, el("span", { class: "row-intent" }, name), share === null ? null : el("span", { class: "row-share" }, percent(share))),
      el("span", { class: "row-words" }, lastWords(moment)),
      el("span", { class: "row-foot" }, el("span", {}, [nameOf("scene", moment.scene), eventCount(moment), ago(moment.at)].join(" · ")), session.id.startsWith(SIMULATED) ? el("span", { class: "tag" }, t("simulated")) : null),
    );
    row.button.setAttribute("aria-current", String(selected));
    row.item.classList.toggle("unsure", share === null || share < 0.5);
    if (row.moment !== null && row.moment !== moment) {
      row.item.classList.remove("moved");
      void row.item.offsetWidth; // restarts the animation
      row.item.classList.add("moved");
    }
    row.moment = moment;
  }
}

/** The session that is looked at. `explain(text, scene)` gives an explanation or throws with a message. */
export class SessionView {
  #chart = new Chart();
  #session = null;
  #why = null; // {moment, answer | problem | busy}

  constructor(node, { explain, play }) {
    this.node = node;
    this.explain = explain;
    this.play = play;
  }

  draw(session) {
    if (session === null) {
      this.#session = null;
      this.#drawEmpty();
      return;
    }
    const focus = this.node.contains(document.activeElement) ? document.activeElement.dataset.keep : null;
    const moment = newest(session);
    this.#session = session;
    if (this.#why && (this.#why.id !== session.id || this.#why.text !== moment.utterance)) this.#why = null;
    const { name, share } = headline(moment);
    this.node.replaceChildren(
      el(
        "header",
        { class: "session-head" },
        el("p", { class: "overline" }, [nameOf("scene", moment.scene), moment.utterance ? nameOf("language", moment.language) : null, eventCount(moment)].filter(Boolean).join(" · "), session.id.startsWith(SIMULATED) ? el("span", { class: "tag" }, t("simulated")) : null),
        el("h2", { class: "intent" }, name, share === null ? null : el("span", { class: "share" }, percent(share))),
        share === null && moment.intents[0] ? el("p", { class: "quiet" }, t("nearest", { name: nameOf("intent", moment.intents[0].name), percent: percent(moment.intents[0].probability) })) : null,
        el("p", { class: "session-id" }, session.id),
      ),
      this.#words(moment),
      el("section", { class: "card over-time" }, el("h3", {}, t("overTime")), this.#chart.node),
      el("div", { class: "pair" }, this.#actions(moment), this.#purchase(moment)),
      this.#journey(moment),
    );
    this.#chart.draw(session.moments);
    if (focus) this.node.querySelector(`[data-keep="${focus}"]`)?.focus();
  }

  #words(moment) {
    if (!moment.utterance) return el("section", { class: "words none" }, el("h3", {}, t("newestWords")), el("p", { class: "quiet" }, t("noWords")));
    const why = this.#why;
    const weights = why?.answer?.words ?? [];
    return el(
      "section",
      { class: "words" },
      el("h3", {}, t("newestWords")),
      el("blockquote", {}, highlighted(moment.utterance, moment.key_information, weights)),
      el(
        "button",
        { type: "button", class: "plain why", "data-keep": "why", "aria-expanded": String(Boolean(why?.answer)), onclick: () => this.#toggleWhy(moment) },
        why?.busy ? t("whyBusy") : why?.answer ? t("whyHide") : t("why"),
      ),
      why?.answer ? reasons(why.answer) : null,
      why?.answer ? el("p", { class: "note" }, t("whyScope", { intent: nameOf("intent", why.answer.intent), percent: percent(why.answer.probability) })) : null,
      why?.problem ? el("p", { class: "problem", role: "alert" }, t("failed", { message: why.problem })) : null,
    );
  }

  async #toggleWhy(moment) {
    if (this.#why?.busy) return;
    if (this.#why?.answer) {
      this.#why = null;
      this.draw(this.#session);
      return;
    }
    const why = { id: moment.session_id, text: moment.utterance, busy: true };
    this.#why = why;
    this.draw(this.#session);
    try {
      why.answer = await this.explain(moment.utterance, moment.scene, moment.out_of_scope ? null : moment.intents[0]?.name);
    } catch (error) {
      why.problem = error.message;
    }
    why.busy = false;
    if (this.#why === why && this.#session) this.draw(this.#session);
  }

  #actions(moment) {
    return el(
      "section",
      { class: "card" },
      el("h3", {}, t("actions")),
      el("ol", { class: "actions" }, moment.actions.map((action) => el("li", {}, nameOf("action", action)))),
    );
  }

  #purchase(moment) {
    const share = moment.purchase_probability;
    const card = el("section", { class: "card" }, el("h3", {}, t("purchase")));
    if (share === null) {
      card.append(el("p", { class: "quiet" }, t("purchaseNone")));
      return card;
    }
    const gauge = el("div", { class: "gauge", role: "meter", "aria-label": t("purchase"), "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(share * 100) }, el("i"));
    gauge.firstChild.style.setProperty("--share", String(share));
    card.append(el("p", { class: "figure" }, percent(share)), gauge);
    return card;
  }

  #journey(moment) {
    return el(
      "section",
      { class: "card" },
      el("h3", {}, t("journey"), moment.event_count > moment.steps.length ? el("span", { class: "aside" }, t("journeyCut", { shown: moment.steps.length, all: moment.event_count })) : null),
      el("ol", { class: "journey" }, moment.steps.map((step) => el("li", {}, el("b", {}, nameOf("event", step.event)), step.words ? el("span", {}, step.words) : null))),
    );
  }

  #drawEmpty() {
    this.node.replaceChildren(
      el(
        "div",
        { class: "empty" },
        el("div", { class: "ripple", "aria-hidden": "true" }, el("i"), el("i"), el("i")),
        el("h2", {}, t("emptyTitle")),
        el("p", { class: "quiet" }, t("emptyWords")),
        el("button", { type: "button", class: "solid", onclick: () => this.play() }, t("emptyDo")),
      ),
    );
  }
}
