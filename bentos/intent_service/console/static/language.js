// One dictionary, two languages: what is chosen is remembered, and `lang` of the page follows.

import { WORDS, NAMES } from "./words.js";

const KEPT = "intent-console-language";
const TAGS = { en: "en", zh: "zh-Hans" };
const listeners = [];

let current = initial();

function initial() {
  const kept = localStorage.getItem(KEPT);
  if (kept in TAGS) return kept;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

export const language = () => current;

/** `key` in the language of the page; `{name}` in it is replaced from `values`. */
export function t(key, values = {}) {
  const text = WORDS[current][key];
  if (text === undefined) throw new Error(`no words for ${key} in ${current}`);
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/** The name of an intent, scene, event, action or kind of key information; one that a shop invented is spelt out. */
export function nameOf(kind, id) {
  const known = NAMES[kind][id];
  if (known !== undefined) return known[current];
  const spelt = id.replaceAll("_", " ").trim();
  return spelt.charAt(0).toUpperCase() + spelt.slice(1);
}

export function percent(share) {
  return new Intl.NumberFormat(TAGS[current], { style: "percent", maximumFractionDigits: 0 }).format(share);
}

export function number(value) {
  return new Intl.NumberFormat(TAGS[current], { maximumFractionDigits: 1 }).format(value);
}

export function clock(moment) {
  return new Intl.DateTimeFormat(TAGS[current], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false }).format(moment);
}

export function dayAndTime(moment) {
  return new Intl.DateTimeFormat(TAGS[current], { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hour12: false }).format(moment);
}

export function day(moment) {
  return new Intl.DateTimeFormat(TAGS[current], { day: "numeric", month: "short", timeZone: "UTC" }).format(moment);
}

export function ago(moment) {
  const seconds = Math.max(0, (Date.now() - moment.getTime()) / 1000);
  if (seconds < 5) return t("justNow");
  const format = new Intl.RelativeTimeFormat(TAGS[current], { style: "narrow", numeric: "always" });
  if (seconds < 60) return format.format(-Math.round(seconds), "second");
  if (seconds < 3600) return format.format(-Math.round(seconds / 60), "minute");
  if (seconds < 86400) return format.format(-Math.round(seconds / 3600), "hour");
  return format.format(-Math.round(seconds / 86400), "day");
}

export function onLanguage(listener) {
  listeners.push(listener);
}

export function setLanguage(chosen) {
  current = chosen;
  localStorage.setItem(KEPT, chosen);
  show();
}

/** Put the language of the page everywhere: fixed words here, what listeners draw by them. */
export function show() {
  document.documentElement.lang = TAGS[current];
  document.title = t("title");
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-t-label]")) node.setAttribute("aria-label", t(node.dataset.tLabel));
  for (const node of document.querySelectorAll("[data-language]")) {
    node.setAttribute("aria-pressed", String(node.dataset.language === current));
  }
  for (const listener of listeners) listener();
}
