// Sends what a shopper does on this page to the intent service. docs/client.md says how to use it.
(() => {
  "use strict";
  const script = document.currentScript;
  const { key, source = "web" } = script.dataset;
  const url = new URL("v1/track", script.dataset.url || script.src).href;
  const QUEUE = "intent.queue.";
  const SESSION_MS = 30 * 60e3;
  const GATHER_MS = 1e3;
  const MOST_QUEUED = 200;
  const MOST_IN_CALL = 50;
  const MOST_BYTES = 60e3; // browsers carry 64 KiB beyond the end of a page

  const memory = {};
  const local = (() => {
    try { return window.localStorage; } catch { return {}; } // blocked for this site: nothing outlives the page
  })();
  // Whoever has an id here has consented before. Until somebody consents, all stays in the memory of the page.
  let granted = script.dataset.consent === "granted" || !!local["intent.anonymous_id"];
  let denied = false;
  let box = granted ? local : memory;
  let user, timer, inFlight = [], most = MOST_IN_CALL, failures = 0, notBefore = 0, carried = "", count = 0;

  const random = () =>
    Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const bytes = (text) => new TextEncoder().encode(text).length;
  // One entry an event: tabs share the queue, and none overwrites what another has added.
  const queued = () => Object.keys(box).filter((name) => name.startsWith(QUEUE)).sort();
  const remove = (names) => names.forEach((name) => delete box[name]);
  const warn = (...what) => console.warn("intent:", ...what);

  const session = () => {
    const [id, last] = (box["intent.session"] || "").split(" ");
    const current = Date.now() - last < SESSION_MS ? id : random();
    box["intent.session"] = `${current} ${Date.now()}`;
    return current;
  };

  const track = (name, params = {}, more = {}) => {
    if (denied) return;
    try {
      box["intent.anonymous_id"] ||= random();
      const event = {
        event_id: random(), event_name: name, event_time: new Date().toISOString(), source, params,
        anonymous_id: box["intent.anonymous_id"], session_id: session(), ...(user && { user_id: user }), ...more,
      };
      box[QUEUE + Date.now().toString(36) + String(count++).padStart(6, "0") + event.event_id] = JSON.stringify(event);
    } catch (error) { // the storage of the browser is full
      return warn("an event is lost:", error);
    }
    const names = queued();
    if (names.length > MOST_QUEUED) {
      warn("the service is away for too long, the oldest event is lost");
      remove(names.slice(0, 1));
    }
    schedule(names.length < MOST_IN_CALL ? GATHER_MS : 0);
  };

  const schedule = (wait) => {
    if (timer && wait) return;
    clearTimeout(timer);
    timer = setTimeout(() => { timer = 0; send(); }, wait);
  };

  const next = () => {
    let size = 20;
    const names = queued().filter((name) => !inFlight.includes(name)).slice(0, most);
    return names.filter((name, index) => (size += bytes(box[name]) + 1) <= MOST_BYTES || !index);
  };

  const send = async (leaving) => {
    if (!granted || (!leaving && inFlight.length)) return;
    const wait = notBefore - Date.now();
    if (!leaving && wait > 0) return schedule(wait);
    const names = next();
    const body = `{"events":[${names.map((name) => box[name])}]}`;
    if (!names.length || (leaving && body === carried)) return;
    if (leaving) carried = body;
    if (leaving && !key && navigator.sendBeacon) {
      // Whether it arrives is not told: the events stay queued, and the service knows a repeat by its id.
      navigator.sendBeacon(url, new Blob([body], { type: "application/json" }));
      return;
    }
    inFlight = names;
    try {
      const headers = { "Content-Type": "application/json", ...(key && { Authorization: `Bearer ${key}` }) };
      const keepalive = bytes(body) <= MOST_BYTES;
      const answer = await fetch(url, { method: "POST", body, headers, keepalive, credentials: "omit" });
      if (answer.ok) {
        (await answer.json()).rejected.forEach(({ reason }) => warn("an event is rejected:", reason));
        remove(names);
        [failures, most] = [0, Math.min(MOST_IN_CALL, 2 * most)];
      } else if (![400, 413, 422].includes(answer.status)) {
        notBefore = Date.now() + 1e3 * (answer.headers.get("Retry-After") || 0);
        throw new Error(`the service answers ${answer.status}`);
      } else if (names.length > 1) {
        most = names.length >> 1; // one event spoils the call: find it
      } else {
        warn("an event is refused:", await answer.text());
        remove(names);
      }
    } catch (error) {
      const pause = 1e3 * Math.min(300, 2 ** failures++) * (0.5 + Math.random() / 2);
      notBefore = Math.max(notBefore, Date.now() + pause);
    }
    inFlight = [];
    if (queued().length) schedule(Math.max(1, notBefore - Date.now()));
  };

  const consent = (given) => {
    [granted, denied] = [given, !given];
    if (given) Object.assign(local, memory);
    for (const name of Object.keys(memory)) delete memory[name];
    if (!given) Object.keys(local).filter((name) => name.startsWith("intent.")).forEach((name) => delete local[name]);
    box = given ? local : memory;
    if (given) schedule(0);
  };

  const api = {
    track, consent,
    identify: (id) => { user = id; },
    flush: () => { notBefore = 0; return send(); },
    get pending() { return queued().length; },
    push: ([name, ...rest]) => api[name](...rest),
  };
  const early = window.intent;
  window.intent = api;
  if (Array.isArray(early)) early.forEach(api.push);
  addEventListener("online", api.flush);
  addEventListener("pagehide", () => send(true));
  document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && send(true));
  schedule(GATHER_MS);
})();
