// The newest report of insights: the Markdown that the service wrote, as elements of this page. Pictures stay on disk.

import { byId, el } from "./dom.js";
import { day, language, t } from "./language.js";

const unescaped = (text) => text.replace(/\\([!-/:-@[-`{-~])/g, "$1").replaceAll("`", "");

/** Cells of a table row; an escaped bar is part of a cell. */
const cells = (line) =>
  line
    .slice(1, -1)
    .split(/(?<!\\)\|/)
    .map((cell) => unescaped(cell.trim()));

function block(lines) {
  const first = lines[0];
  if (first.startsWith("## ")) return el("h3", {}, unescaped(first.slice(3)));
  if (first.startsWith("# ")) return el("h2", {}, unescaped(first.slice(2)));
  if (first.startsWith("![") || /^\[[^\]]*\]\(report/.test(first)) return null;
  if (first.startsWith("- ")) return el("ul", {}, lines.map((line) => el("li", {}, unescaped(line.slice(2)))));
  if (first.startsWith("| ")) {
    const [head, , ...rows] = lines;
    const table = el("table", {}, el("thead", {}, el("tr", {}, cells(head).map((cell) => el("th", { scope: "col" }, cell)))), el("tbody", {}, rows.map((row) => el("tr", {}, cells(row).map((cell) => el("td", {}, cell))))));
    return el("div", { class: "wide" }, table);
  }
  return el("p", {}, unescaped(lines.join(" ")));
}

/** A report of ours as nodes: headings, paragraphs, lists and tables, which is all that it holds. */
export function reportNodes(markdown) {
  return markdown
    .split(/\n{2,}/)
    .map((part) => part.split("\n").filter(Boolean))
    .filter((lines) => lines.length)
    .map(block)
    .filter((node) => node !== null);
}

/** The line that says which report there is, and the report itself. `fetchReport(language)` asks the service. */
export class Insights {
  #day = null;
  #problem = null;

  constructor(fetchReport) {
    this.fetchReport = fetchReport;
    byId("insights-open").addEventListener("click", () => this.#open());
    byId("insights-close").addEventListener("click", () => byId("insights-dialog").close());
  }

  draw(status) {
    this.#day = status?.insights ?? null;
    byId("insights-open").hidden = this.#day === null;
    byId("insights-day").textContent = this.#problem ?? (this.#day === null ? t("insightsNone") : t("insightsDay", { day: day(new Date(`${this.#day}T00:00:00Z`)) }));
  }

  async #open() {
    try {
      const report = await this.fetchReport(language());
      byId("insights-report").replaceChildren(...reportNodes(report.markdown));
      byId("insights-dialog").showModal();
      this.#problem = null;
    } catch (error) {
      this.#problem = t("failed", { message: error.message });
      byId("insights-day").textContent = this.#problem;
    }
  }
}
