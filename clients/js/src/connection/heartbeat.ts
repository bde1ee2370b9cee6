import type { Cancel, Environment } from "../environment.ts";

/** Nothing came for this long after a ping: the connection is dead. */
const DEAD_MS = 10_000;

/**
 * Sends a ping about every `heartbeat_ms`, the first after a random part of it, and calls the connection dead when
 * nothing at all came for 10 s after one.
 */
export class Heartbeat {
  readonly #environment: Environment;
  readonly #ping: () => void;
  readonly #dead: () => void;
  #beat: Cancel = () => {};
  #deadline: Cancel = () => {};

  constructor(environment: Environment, ping: () => void, dead: () => void) {
    this.#environment = environment;
    this.#ping = ping;
    this.#dead = dead;
  }

  start(intervalMs: number): void {
    this.stop();
    const beat = (): void => {
      this.check();
      this.#beat = this.#environment.after(intervalMs, beat);
    };
    this.#beat = this.#environment.after(this.#environment.random() * intervalMs, beat);
  }

  /** Pings now. */
  check(): void {
    this.#deadline();
    this.#deadline = this.#environment.after(DEAD_MS, this.#dead);
    this.#ping();
  }

  /** Something came. */
  alive(): void {
    this.#deadline();
  }

  stop(): void {
    this.#beat();
    this.#deadline();
  }
}
