// The intents of one session over its answers, as a picture that can be read, pointed at and stepped through by keys.

import { el, svg } from "./dom.js";
import { clock, nameOf, percent, t } from "./language.js";

const SERIES = 4;
const HEIGHT = 230;
const EDGE = { top: 14, right: 16, bottom: 34, left: 40 };
const LABEL_WIDTH = 76;

/** The intents worth a line: those that led somewhere, then those that were strongest, the present leader first. */
function chosen(moments) {
  const best = new Map();
  moments.forEach((moment) =>
    moment.intents.forEach((intent, rank) => {
      const weight = intent.probability + (rank === 0 ? 1 : 0);
      best.set(intent.name, Math.max(best.get(intent.name) ?? 0, weight));
    }),
  );
  const last = moments[moments.length - 1].intents[0]?.name;
  return [...best.entries()]
    .sort((one, other) => (other[0] === last) - (one[0] === last) || other[1] - one[1])
    .slice(0, SERIES)
    .map(([name]) => name);
}

const probability = (moment, name) => moment.intents.find((intent) => intent.name === name)?.probability ?? null;

/** What happened last before the answer. */
const eventOf = (moment) => (moment.steps.length ? nameOf("event", moment.steps[moment.steps.length - 1].event) : "");

function described(moment, names) {
  const said = names
    .map((name) => [name, probability(moment, name)])
    .filter(([, share]) => share !== null)
    .map(([name, share]) => `${nameOf("intent", name)} ${percent(share)}`);
  return [clock(moment.at), eventOf(moment), ...said].filter(Boolean).join(" · ");
}

/** Pieces of a line: a break where the intent was not among those answered. */
function path(points) {
  let open = false;
  let text = "";
  for (const point of points) {
    if (point === null) open = false;
    else {
      text += `${open ? "L" : "M"}${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
      open = true;
    }
  }
  return text;
}

export class Chart {
  #moments = [];
  #cursor = null;
  #width = 0;
  #top = 1;

  constructor() {
    this.legend = el("ul", { class: "legend" });
    this.plot = el("div", { class: "plot", tabindex: "0", role: "group" });
    this.readout = el("p", { class: "readout", "aria-live": "polite" });
    this.table = el("table");
    this.node = el("div", { class: "chart" }, this.legend, this.plot, this.readout, el("div", { class: "unseen" }, this.table));
    this.plot.addEventListener("keydown", (event) => this.#key(event));
    this.plot.addEventListener("pointermove", (event) => this.#point(event));
    this.plot.addEventListener("pointerdown", (event) => this.#point(event));
    this.plot.addEventListener("pointerleave", () => this.#move(null));
    this.plot.addEventListener("blur", () => this.#move(null));
    new ResizeObserver(() => {
      if (this.plot.clientWidth !== this.#width) this.draw(this.#moments);
    }).observe(this.plot);
  }

  draw(moments) {
    this.#moments = moments;
    this.#width = this.plot.clientWidth;
    if (!moments.length || !this.#width) return;
    const names = chosen(moments);
    // Half of the scale where nothing reaches it: what moves below is seen to move.
    this.#top = Math.max(...moments.flatMap((moment) => moment.intents.map((intent) => intent.probability))) > 0.48 ? 1 : 0.5;
    const last = moments[moments.length - 1];
    if (this.#cursor !== null) this.#cursor = Math.min(this.#cursor, moments.length - 1);
    this.legend.replaceChildren(
      ...names.map((name, place) =>
        el(
          "li",
          { class: `series-${place}` },
          svg("svg", { class: "swatch", viewBox: "0 0 26 8", width: 26, height: 8, "aria-hidden": "true" }, svg("path", { class: "line", d: "M1 4H25" })),
          nameOf("intent", name),
          el("b", {}, probability(last, name) === null ? "–" : percent(probability(last, name))),
        ),
      ),
    );
    this.plot.replaceChildren(this.#picture(names));
    const ending = last.intents.length ? `${nameOf("intent", last.intents[0].name)}, ${percent(last.intents[0].probability)}` : t("unknownIntent");
    this.plot.setAttribute("aria-label", `${t("chartLabel", { first: clock(moments[0].at), last: clock(last.at), ending })} ${t("chartHint")}`);
    this.readout.textContent = this.#cursor === null ? t("chartHint") : described(moments[this.#cursor], names);
    this.#tabulate(names);
  }

  #x(place) {
    const room = this.#width - EDGE.left - EDGE.right;
    const count = this.#moments.length;
    return EDGE.left + (count === 1 ? room / 2 : (room * place) / (count - 1));
  }

  #y(share) {
    return EDGE.top + (HEIGHT - EDGE.top - EDGE.bottom) * (1 - share / this.#top);
  }

  #picture(names) {
    const moments = this.#moments;
    const picture = svg("svg", { width: this.#width, height: HEIGHT, viewBox: `0 0 ${this.#width} ${HEIGHT}`, "aria-hidden": "true" });
    for (const quarter of [0, 1, 2, 3, 4]) {
      const share = (this.#top * quarter) / 4;
      const y = this.#y(share);
      picture.append(svg("line", { class: share === 0 ? "axis" : "grid", x1: EDGE.left, x2: this.#width - EDGE.right, y1: y, y2: y }));
      if (quarter % 2 === 0) picture.append(svg("text", { class: "tick", x: EDGE.left - 8, y: y + 4, "text-anchor": "end" }, percent(share)));
    }
    const lines = names.map((name) =>
      moments.map((moment, place) => {
        const share = probability(moment, name);
        return share === null ? null : [this.#x(place), this.#y(share)];
      }),
    );
    const leading = lines[0].filter((point) => point !== null);
    if (leading.length > 1 && leading.length === moments.length) {
      const base = this.#y(0);
      const area = `${path(leading)}L${leading[leading.length - 1][0]} ${base}L${leading[0][0]} ${base}Z`;
      picture.append(svg("path", { class: "area", d: area }));
    }
    // The leader is drawn last, over the others.
    for (let place = lines.length - 1; place >= 0; place--) {
      const group = svg("g", { class: `series-${place}` }, svg("path", { class: "line", d: path(lines[place]) }));
      lines[place].forEach((point, at) => {
        const alone = lines[place][at - 1] == null && lines[place][at + 1] == null;
        if (point !== null && (place === 0 || alone || at === this.#cursor || at === moments.length - 1)) {
          group.append(svg("circle", { class: "dot", cx: point[0], cy: point[1], r: at === this.#cursor || at === moments.length - 1 ? 4.5 : 3 }));
        }
      });
      picture.append(group);
    }
    if (this.#cursor !== null) {
      const x = this.#x(this.#cursor);
      picture.append(svg("line", { class: "cursor", x1: x, x2: x, y1: EDGE.top, y2: HEIGHT - EDGE.bottom }));
    }
    this.#ticks(picture);
    return picture;
  }

  /** What the shopper did, where there is room to say it; else when it began and where it stands. */
  #ticks(picture) {
    const moments = this.#moments;
    const count = moments.length;
    const y = HEIGHT - 12;
    const room = count > 1 ? (this.#width - EDGE.left - EDGE.right) / (count - 1) : this.#width;
    if (room >= LABEL_WIDTH) {
      moments.forEach((moment, place) => {
        const anchor = count === 1 ? "middle" : place === 0 ? "start" : place === count - 1 ? "end" : "middle";
        const x = place === 0 && count > 1 ? EDGE.left - 2 : this.#x(place);
        picture.append(svg("text", { class: "tick", x, y, "text-anchor": anchor }, eventOf(moment)));
      });
      return;
    }
    picture.append(svg("text", { class: "tick", x: EDGE.left, y }, clock(moments[0].at)));
    picture.append(svg("text", { class: "tick", x: this.#width - EDGE.right, y, "text-anchor": "end" }, clock(moments[count - 1].at)));
  }

  /** The same figures as rows, for those who hear the page. */
  #tabulate(names) {
    const head = el("tr", {}, el("th", { scope: "col" }, t("chartTime")), names.map((name) => el("th", { scope: "col" }, nameOf("intent", name))));
    const rows = this.#moments.map((moment) =>
      el("tr", {}, el("th", { scope: "row" }, `${clock(moment.at)} ${eventOf(moment)}`), names.map((name) => el("td", {}, probability(moment, name) === null ? "–" : percent(probability(moment, name))))),
    );
    this.table.replaceChildren(el("caption", {}, t("overTime")), el("thead", {}, head), el("tbody", {}, rows));
  }

  #key(event) {
    const last = this.#moments.length - 1;
    const now = this.#cursor ?? last;
    const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last, Escape: null }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    this.#move(next === null ? null : Math.max(0, Math.min(last, next)));
  }

  #point(event) {
    const at = event.clientX - this.plot.getBoundingClientRect().left;
    let nearest = 0;
    this.#moments.forEach((_, place) => {
      if (Math.abs(this.#x(place) - at) < Math.abs(this.#x(nearest) - at)) nearest = place;
    });
    this.#move(nearest);
  }

  #move(place) {
    if (place === this.#cursor) return;
    this.#cursor = place;
    this.draw(this.#moments);
  }
}
