import type { Cancel, Environment } from "./environment.ts";

/** One timer that is set again and again to the next time at which something is due. */
export class Alarm {
  readonly #environment: Environment;
  readonly #ring: () => void;
  #cancel: Cancel | undefined;

  constructor(environment: Environment, ring: () => void) {
    this.#environment = environment;
    this.#ring = ring;
  }

  /** Takes a time of the monotonic clock; `undefined` stops it. */
  set(at: number | undefined): void {
    this.#cancel?.();
    this.#cancel = undefined;
    if (at === undefined) return;
    this.#cancel = this.#environment.after(Math.max(0, at - this.#environment.monotonic()), this.#ring);
  }
}
