import type { Time } from "./protocol/model.ts";

/** Tells the server's time, so that ids made here are neither too old nor ahead, whatever this machine's clock says. */
export class ServerClock {
  #offset = 0;
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Takes a `server_time` that has just come. */
  observe(serverTime: Time): void {
    const millis = Date.parse(serverTime);
    if (!Number.isNaN(millis)) this.#offset = millis - this.#now();
  }

  now(): number {
    return this.#now() + this.#offset;
  }

  /** Milliseconds from now until a time of the server. */
  until(time: Time): number {
    return Date.parse(time) - this.now();
  }
}
