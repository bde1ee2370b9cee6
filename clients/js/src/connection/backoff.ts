/** How long to wait before the next attempt: random(0, min(30 s, 0.5 s × 2^n)). Pure. */

const BASE_MS = 500;
const CAP_MS = 30_000;
/** A session that lived this long shows that the way is good again. */
const GOOD_MS = 30_000;

export class Backoff {
  /** Attempts since the last `hello` that lived long enough. */
  #attempts = 0;
  #helloAt: number | undefined;

  hello(now: number): void {
    this.#helloAt = now;
  }

  /** The wait before the next attempt, where `random` is in [0, 1). */
  next(now: number, random: number, floorMs = 0): number {
    if (this.#helloAt !== undefined && now - this.#helloAt >= GOOD_MS) this.#attempts = 0;
    this.#helloAt = undefined;
    const wait = random * Math.min(CAP_MS, BASE_MS * 2 ** this.#attempts);
    this.#attempts += 1;
    return floorMs + wait;
  }
}

/** The wait before a request is repeated, by the number of its attempts so far. */
export function retryAfter(attempts: number, random: number, askedMs = 0): number {
  return Math.max(askedMs, random * Math.min(CAP_MS, BASE_MS * 2 ** attempts));
}
