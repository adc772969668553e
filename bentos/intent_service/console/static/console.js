// Puts the page together: the stream in, the views out.

import { Desk } from "./answer.js";
import { drawAudiences } from "./audiences.js";
import { byId } from "./dom.js";
import { Insights } from "./insights.js";
import { clock, language, nameOf, onLanguage, setLanguage, show, t } from "./language.js";
import { drawFacts, Key, TryBox } from "./panels.js";
import { profile } from "./profile.js";
import { recommendations } from "./recommend.js";
import { risk } from "./risk.js";
import { Sessions } from "./sessions.js";
import { Shopper } from "./shopper.js";
import { Stream } from "./stream.js";
import { SessionList, SessionView } from "./views.js";

const sessions = new Sessions();
let status = null;
let link = { state: "connecting", until: 0, message: null };
let heard = null;
let missed = 0;
let waiting = false;
let shopperNow = () => "";

/** Call the service, in the language of the page; its own words where it refuses. */
async function call(path, options) {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: { "Accept-Language": language(), ...options.headers, ...key.headers() } });
  } catch {
    throw new Error(t("unreachable"));
  }
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error.message);
  return content;
}

const ask = (path, body) => call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

const explain = (text, scene, intent) => ask("v1/explain", { text, scene, ...(intent ? { intent } : {}) });
const key = new Key(() => stream.again());
const list = new SessionList(byId("session-list"), choose);
const view = new SessionView(byId("session"), { explain, play });
const box = new TryBox({ read: (text, scene) => ask("v1/intent", { texts: [text], scene }), explain });
const applications = [recommendations(ask), risk(ask), profile(ask)];
byId("application-cards").append(...applications.map((application) => application.node));
const desk = new Desk(ask);
const insights = new Insights((inLanguage) => call(`console/insights?language=${inLanguage}`, {}));
const shopper = new Shopper({
  send: (events) => ask("v1/track", { events }),
  onStep(step, steps, { event_name, params }) {
    const words = params.text ?? params.search_term ?? params.items?.[0]?.item_name ?? "";
    say(() => t("shopperStep", { step, steps, event: nameOf("event", event_name), words: words ? ` “${words}”` : "" }));
  },
  onEnd({ problem, stopped }) {
    say(() => (problem ? t("failed", { message: problem }) : t(stopped ? "shopperStopped" : "shopperDone")));
    byId("shopper-stop").hidden = true;
  },
});

function say(words) {
  shopperNow = words;
  byId("shopper-now").textContent = words();
}

function choose(id) {
  sessions.selected = id;
  drawNow();
}

function play() {
  const id = shopper.play(language());
  byId("shopper-stop").hidden = false;
  sessions.selected = id;
}

/** At most one drawing a frame and four a second, however fast the shop moves. */
function draw() {
  if (waiting) return;
  waiting = true;
  setTimeout(() => {
    waiting = false;
    requestAnimationFrame(drawNow);
  }, 250 - Math.min(250, performance.now() - drawn));
}

let drawn = -Infinity;

function drawNow() {
  drawn = performance.now();
  list.draw(sessions);
  const session = sessions.get(sessions.selected) ?? sessions.list()[0] ?? null;
  view.draw(session);
  byId("applications").hidden = session === null;
  for (const application of applications) application.look(session);
  desk.look(session);
}

function drawLink() {
  const { state, until, message } = link;
  byId("link").dataset.state = state;
  byId("link-words").textContent = t(state);
  document.body.classList.toggle("stale", state === "cut");
  const cut = byId("cut");
  cut.hidden = state !== "cut";
  if (state !== "cut") return;
  const seconds = Math.max(0, Math.ceil((until - Date.now()) / 1000));
  const said = message ? `${t("cutSaid", { message })} ` : "";
  byId("cut-words").textContent = said + (seconds === 0 ? t("cutTrying") : heard ? t("cutWords", { time: clock(heard), seconds }) : t("cutWordsNever", { seconds }));
}

function drawStatus() {
  drawFacts(status);
  drawAudiences(status);
  insights.draw(status);
}

function drawMissed() {
  byId("missed").hidden = missed === 0;
  byId("missed").textContent = t("missed", { count: missed });
}

const stream = new Stream({
  url: "console/stream",
  headers: () => key.headers(),
  hasKey: () => key.given,
  onState(state, detail) {
    // While it is cut off, a new try says nothing new.
    if (state === "connecting" && link.state === "cut") return;
    link = { state, until: 0, message: null, ...detail };
    if (state === "locked") key.ask();
    drawLink();
  },
  onEvent(name, data) {
    heard = new Date();
    if (name === "status") {
      status = data;
      drawStatus();
      for (const application of [...applications, desk]) application.follow(status.release);
    } else if (name === "moment") {
      sessions.add(data);
      draw();
    } else if (name === "missed") {
      if (data.reset) sessions.clear();
      missed += data.count;
      drawMissed();
    }
  },
});

byId("cut-again").addEventListener("click", () => stream.again());
byId("shopper-play").addEventListener("click", play);
byId("shopper-stop").addEventListener("click", () => shopper.stop());
for (const button of document.querySelectorAll("[data-language]")) button.addEventListener("click", () => setLanguage(button.dataset.language));

onLanguage(() => {
  box.draw();
  desk.draw();
  drawStatus();
  // Reasons come in the language that they are asked in.
  for (const application of applications) {
    application.draw();
    application.again();
  }
  drawLink();
  drawMissed();
  byId("shopper-now").textContent = shopperNow();
  drawNow();
});
show();

setInterval(() => {
  if (link.state === "cut") drawLink();
}, 1000);
setInterval(() => {
  list.draw(sessions);
  drawFacts(status);
}, 5000);
