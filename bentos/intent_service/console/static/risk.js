// How risky the session is, what to do, and why.

import { Application } from "./application.js";
import { el } from "./dom.js";
import { nameOf, percent, t } from "./language.js";

function draw({ score, decision, reasons }) {
  const gauge = el("div", { class: `gauge risk-${decision}`, role: "meter", "aria-label": t("risk"), "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(score * 100) }, el("i"));
  gauge.firstChild.style.setProperty("--share", String(score));
  return [
    el("p", { class: `decision ${decision}` }, el("b", {}, nameOf("decision", decision)), el("span", { class: "quiet" }, percent(score))),
    gauge,
    reasons.length ? el("ul", { class: "why-risk" }, reasons.map((reason) => el("li", {}, reason))) : el("p", { class: "quiet" }, t("riskNothing")),
  ];
}

export const risk = (ask) => new Application("risk", { kind: "risk_model", ask: (id) => ask("v1/risk", { session_id: id }), draw });
