// A simulated shopper: short visits, sent through /v1/track like those of a shop, with ids that nobody takes for real.

import { SIMULATED } from "./sessions.js";

const PACE = 2200;

const item = (item_id, item_name, item_category, price, item_brand) => ({ item_id, item_name, item_category, price, item_brand });

const BOOTS = item("demo-101", "Ridgeline waterproof hiking boots", "Shoes/Hiking boots", 139, "Northpeak");
const LIGHT = item("demo-102", "Trailrunner light hiking shoes", "Shoes/Hiking shoes", 96, "Alpina");
const LAMP = item("demo-201", "Reading lamp, brass", "Home/Lamps", 58, "Lumen");
const 靴 = item("demo-301", "防水徒步鞋", "鞋靴/徒步鞋", 699, "山行");
const 轻 = item("demo-302", "轻量越野跑鞋", "鞋靴/跑鞋", 459, "云步");
const 灯 = item("demo-401", "黄铜阅读灯", "家居/灯具", 329, "暖光");

const listed = (...items) => ({ event_name: "view_item_list", params: { items } });
const seen = (one) => ({ event_name: "view_item", params: { items: [one] } });
const searched = (search_term) => ({ event_name: "search", params: { search_term } });
const wrote = (text) => ({ event_name: "message", params: { text } });
const carted = (one) => ({ event_name: "add_to_cart", params: { items: [{ ...one, quantity: 1 }] } });
const checkout = (one) => ({ event_name: "begin_checkout", params: { items: [{ ...one, quantity: 1 }] } });
const paying = (one) => ({ event_name: "add_payment_info", params: { items: [{ ...one, quantity: 1 }], payment_type: "card" } });

export const VISITS = {
  en: [
    [listed(BOOTS, LIGHT), searched("waterproof hiking boots"), seen(BOOTS), seen(LIGHT), seen(BOOTS), wrote("Do the brown Northpeak boots come in size 42?"), carted(BOOTS), wrote("Is there a discount code for first orders?"), checkout(BOOTS), paying(BOOTS), wrote("My card was declined, can I pay another way?")],
    [seen(LAMP), wrote("Hello, where is my order SO004799759? It should be here by now."), seen(LAMP), wrote("If it does not come by Friday I want my money back."), wrote("Please cancel the order then.")],
  ],
  zh: [
    [listed(靴, 轻), searched("防水徒步鞋"), seen(靴), seen(轻), seen(靴), wrote("这款棕色的徒步鞋有42码的吗？"), carted(靴), wrote("首单有没有优惠券可以用？"), checkout(靴), paying(靴), wrote("付款一直失败，可以换个方式吗？")],
    [seen(灯), wrote("你好，我的订单SO004799759到哪里了？应该已经到了。"), seen(灯), wrote("周五还不到我就要退款。"), wrote("那请帮我取消订单吧。")],
  ],
};

function random() {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Plays one visit after the other; `send(events)` sends, `onStep` hears of each step, `onEnd(problem)` of the end. */
export class Shopper {
  #visit = 0;
  #playing = null;

  constructor({ send, onStep, onEnd }) {
    this.send = send;
    this.onStep = onStep;
    this.onEnd = onEnd;
  }

  /** Start a visit in `language`; the id of its session. */
  play(language) {
    this.stop();
    const visits = VISITS[language];
    const steps = visits[this.#visit++ % visits.length];
    const id = SIMULATED + random();
    const playing = { on: true, wake: null };
    this.#playing = playing;
    this.#run(id, steps, playing);
    return id;
  }

  stop() {
    if (this.#playing === null) return;
    this.#playing.on = false;
    this.#playing.wake?.();
    this.#playing = null;
  }

  async #run(id, steps, playing) {
    let problem = null;
    try {
      for (const [place, step] of steps.entries()) {
        this.onStep(place + 1, steps.length, step);
        const rejected = (await this.send([this.#event(id, place, step)])).rejected;
        if (rejected.length) throw new Error(rejected[0].reason);
        if (place + 1 < steps.length) await new Promise((resolve) => {
          playing.wake = resolve;
          setTimeout(resolve, PACE);
        });
        if (!playing.on) break;
      }
    } catch (error) {
      problem = error.message;
    }
    if (this.#playing === playing) this.#playing = null;
    this.onEnd({ problem, stopped: !playing.on });
  }

  #event(id, place, { event_name, params }) {
    const priced = params.items ? { currency: "EUR", value: params.items.reduce((sum, one) => sum + one.price, 0) } : {};
    return {
      event_id: `${id}-${place + 1}`,
      event_name,
      event_time: new Date().toISOString(),
      anonymous_id: id,
      session_id: id,
      source: "console-demo",
      params: { ...params, ...priced },
    };
  }
}
