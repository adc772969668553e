// Audiences are made once a day: the newest sizes.

import { byId, el } from "./dom.js";
import { day, nameOf, number, t } from "./language.js";

export function drawAudiences(status) {
  const found = status?.audiences ?? null;
  if (found === null) {
    byId("audiences").replaceChildren(el("p", { class: "quiet" }, t("audiencesNone")));
    return;
  }
  const rows = found.sizes.map((size) => el("li", {}, el("span", { class: "bar-name" }, nameOf("audience", size.name)), el("b", {}, number(size.shoppers)), el("span", { class: "quiet" }, t("audienceWritten", { count: number(size.written_to) }))));
  byId("audiences").replaceChildren(
    el("p", { class: "quiet" }, t("audiencesDay", { day: day(new Date(`${found.day}T00:00:00Z`)) })),
    rows.length ? el("ul", { class: "sizes" }, rows) : el("p", { class: "quiet" }, t("audiencesEmpty")),
  );
}
