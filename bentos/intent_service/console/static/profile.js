// Who the shopper is, with the evidence for each trait. The page asks by session: it knows no name of a shopper.

import { Application } from "./application.js";
import { el } from "./dom.js";
import { dayAndTime, language, number, percent, t } from "./language.js";

const TRAITS = 6;

function evidence(trait) {
  if (trait.level === "likes") return t("traitLikes", { value: number(trait.value), share: percent(trait.typical) });
  const values = { value: number(trait.value), typical: number(trait.typical), what: trait.what[language()] };
  return trait.percentile === null ? t("traitValue", values) : t("traitRank", { ...values, percentile: number(trait.percentile) });
}

function draw({ name, traits, as_of, stale }) {
  return [
    el("p", { class: "segment" }, name[language()]),
    el("dl", { class: "traits" }, Object.values(traits).slice(0, TRAITS).map((trait) => [el("dt", {}, trait.words[language()]), el("dd", {}, evidence(trait))]).flat()),
    el("p", { class: "note" }, t("profileAsOf", { time: dayAndTime(new Date(as_of)) }), stale.length ? ` ${t("profileStale")}` : null),
  ];
}

export const profile = (ask) =>
  new Application("profile", { kind: "user_segments", ask: (id) => ask("console/profile", { session_id: id }), draw, none: "profileNone" });
