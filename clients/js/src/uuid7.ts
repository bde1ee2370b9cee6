/** UUIDs of version 7 (RFC 9562), ascending within one maker even in the same millisecond. */

const COUNTER_BITS = 12;
const COUNTER_SIZE = 1 << COUNTER_BITS;

export type RandomBytes = (count: number) => Uint8Array;

const standardBytes: RandomBytes = (count) => crypto.getRandomValues(new Uint8Array(count));

export class Uuid7 {
  #millis = 0;
  #counter = 0;
  readonly #now: () => number;
  readonly #bytes: RandomBytes;

  constructor(now: () => number, bytes: RandomBytes = standardBytes) {
    this.#now = now;
    this.#bytes = bytes;
  }

  make(): string {
    const random = this.#bytes(10);
    const now = Math.max(0, Math.floor(this.#now()));
    if (now > this.#millis) {
      this.#millis = now;
      // The upper bit stays free, so that at least 2048 ids fit before the millisecond is borrowed from the future.
      this.#counter = (((random[8] ?? 0) << 8) | (random[9] ?? 0)) & (COUNTER_SIZE / 2 - 1);
    } else if (++this.#counter === COUNTER_SIZE) {
      this.#millis += 1;
      this.#counter = 0;
    }
    const time = this.#millis.toString(16).padStart(12, "0");
    const counter = this.#counter.toString(16).padStart(3, "0");
    random[0] = ((random[0] ?? 0) & 0x3f) | 0x80;
    const rest = Array.from(random.subarray(0, 8), (byte) => byte.toString(16).padStart(2, "0")).join("");
    return `${time.slice(0, 8)}-${time.slice(8)}-7${counter}-${rest.slice(0, 4)}-${rest.slice(4)}`;
  }
}

/** Milliseconds since 1970 inside a UUIDv7. */
export function uuid7Millis(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}
