// What the page remembers of the stream: bounded, newest first.

const SESSIONS = 60;
const MOMENTS = 80;

export class Sessions {
  #byId = new Map();
  selected = null;

  /** Take one moment; the session that it belongs to moves to the front. */
  add(moment) {
    const id = moment.session_id;
    const session = this.#byId.get(id) ?? { id, moments: [] };
    this.#byId.delete(id);
    this.#byId.set(id, session);
    session.moments.push({ ...moment, at: new Date(moment.at) });
    if (session.moments.length > MOMENTS) session.moments.shift();
    if (this.selected === null) this.selected = id;
    for (const oldest of this.#byId.keys()) {
      if (this.#byId.size <= SESSIONS) break;
      if (oldest !== this.selected) this.#byId.delete(oldest);
    }
    return session;
  }

  /** Newest activity first. */
  list() {
    return [...this.#byId.values()].reverse();
  }

  get(id) {
    return this.#byId.get(id) ?? null;
  }

  clear() {
    this.#byId.clear();
    this.selected = null;
  }
}

export const newest = (session) => session.moments[session.moments.length - 1];

/** Ids that this page gives to its own simulated shoppers. */
export const SIMULATED = "console-demo-";
