/** What the client asks of the world. All of it can be replaced, so that tests are deterministic. */

/** The part of the standard `WebSocket` that is used: browsers, Node ≥ 22 and `ws` have it. */
export interface Socket {
  send(text: string): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
}

export type SocketClass = new (url: string, protocols: string[]) => Socket;

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** Ends what was begun; calling it again does nothing. */
export type Cancel = () => void;

export interface Environment {
  /** Milliseconds since 1970 of this machine's clock. */
  now(): number;
  /** Milliseconds of a clock that nobody sets. */
  monotonic(): number;
  /** In [0, 1). */
  random(): number;
  /** Runs `task` once after `ms`. */
  after(ms: number, task: () => void): Cancel;
  readonly WebSocket: SocketClass;
  readonly fetch: Fetch;
}

/** The environment of this browser or Node. */
export function environment(given: Partial<Environment> = {}): Environment {
  return {
    now: given.now ?? Date.now,
    monotonic: given.monotonic ?? (() => performance.now()),
    random: given.random ?? Math.random,
    after:
      given.after ??
      ((ms, task) => {
        const timer = setTimeout(task, ms);
        return () => clearTimeout(timer);
      }),
    WebSocket: given.WebSocket ?? standardSocket(),
    fetch: given.fetch ?? ((url, init) => fetch(url, init)),
  };
}

function standardSocket(): SocketClass {
  if (typeof WebSocket === "undefined") {
    throw new TypeError(
      "this runtime has no WebSocket: give one, as in `environment: { WebSocket }` of the package ws",
    );
  }
  return WebSocket;
}
