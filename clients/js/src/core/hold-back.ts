/**
 * Frames ahead of a position, kept until what is missing before them has come. Bounded: beyond it the farthest is let
 * go, since a sync brings it again.
 */
export class HoldBack<T> {
  readonly #held = new Map<number, T>();
  readonly #limit: number;

  constructor(limit = 100) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#held.size;
  }

  get lowest(): number | undefined {
    return this.#held.size === 0 ? undefined : Math.min(...this.#held.keys());
  }

  put(at: number, value: T): void {
    this.#held.set(at, value);
    if (this.#held.size > this.#limit) this.#held.delete(Math.max(...this.#held.keys()));
  }

  /** Drops what is at or below `position`, then takes all that follows it without a gap. */
  release(position: number): T[] {
    for (const at of this.#held.keys()) if (at <= position) this.#held.delete(at);
    const released: T[] = [];
    for (let next = position + 1; ; next += 1) {
      const value = this.#held.get(next);
      if (value === undefined) return released;
      this.#held.delete(next);
      released.push(value);
    }
  }

  clear(): void {
    this.#held.clear();
  }
}
