// What to show this shopper: items with the reason for each, and the strategy that the intent chose.

import { Application } from "./application.js";
import { el } from "./dom.js";
import { language, nameOf, t } from "./language.js";

const ITEMS = 5;

function draw({ items, strategy, intent }) {
  const chosen = intent ? t("strategyOf", { strategy: nameOf("strategy", strategy), intent: nameOf("intent", intent) }) : nameOf("strategy", strategy);
  return [
    el("p", { class: "quiet strategy" }, chosen),
    items.length
      ? el("ol", { class: "items" }, items.map((item) => el("li", {}, el("b", { class: "item-id" }, item.item_id), el("span", {}, item.name ? `${item.name}: ${item.reason}` : item.reason))))
      : el("p", {}, t("recommendNothing")),
  ];
}

export const recommendations = (ask) =>
  new Application("recommend", { kind: "item_index", ask: (id) => ask("v1/recommend", { session_id: id, k: ITEMS, language: language() }), draw });
