/** What a close code asks of a client. The rule is the range, so that it holds for codes to come. */

export interface AfterClose {
  reconnect: boolean;
  /** Whether the token that was used is of no more use. */
  needsToken: boolean;
  /** Least wait before the next attempt. */
  floorMs: number;
}

/** The close codes of v1 that ask for something special. */
export const CLOSE = {
  normal: 1000,
  drain: 4001,
  tokenExpired: 4006,
  flooding: 4008,
  badToken: 4500,
} as const;

/** Sent by this client to a socket that it takes for dead: not 1000, which would make the user offline at once. */
export const GAVE_UP = 4900;

const STOP_BELOW_3000 = new Set([1002, 1003, 1007, 1008, 1009, 1010]);
const FLOODING_FLOOR_MS = 5_000;

export function afterClose(code: number): AfterClose {
  const stops = (code >= 4500 && code <= 4999) || STOP_BELOW_3000.has(code);
  return {
    reconnect: !stops,
    needsToken: code === CLOSE.tokenExpired || code === CLOSE.badToken,
    floorMs: code === CLOSE.flooding ? FLOODING_FLOOR_MS : 0,
  };
}
