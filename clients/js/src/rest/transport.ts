/** HTTP of the REST interface: the token, JSON, faults, and the repetition that the contract allows. */

import { retryAfter } from "../connection/backoff.ts";
import type { TokenSource } from "../connection/token-source.ts";
import type { Environment } from "../environment.ts";
import { ChatError, readFault } from "../fault.ts";

const ATTEMPTS = 4;
const ANSWER_WITHIN_MS = 20_000;
/** A longer wait is the caller's to decide about. */
const LONGEST_WAIT_MS = 10_000;

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
export type Query = Record<string, string | number | boolean | undefined>;

export interface Call {
  query?: Query | undefined;
  body?: object | undefined;
  /** A UUIDv7 that makes repetitions one change. */
  idempotencyKey?: string | undefined;
}

export class Transport {
  readonly #environment: Environment;
  readonly #base: string;
  readonly #tokens: TokenSource;

  constructor(environment: Environment, base: string, tokens: TokenSource) {
    this.#environment = environment;
    this.#base = base;
    this.#tokens = tokens;
  }

  /** Calls, again on temporary faults and once on an expired token; rejects with a `ChatError`. */
  async call<T>(method: Method, path: string, call: Call = {}): Promise<T> {
    let hasRenewed = false;
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.#once<T>(method, path, call);
      } catch (error) {
        if (!(error instanceof ChatError)) throw error;
        if (error.code === "token_expired" && !hasRenewed) {
          hasRenewed = true;
          this.#tokens.forget();
          continue;
        }
        const wait = retryAfter(attempt, this.#environment.random(), error.retryAfterMs);
        if (!error.temporary || attempt + 1 >= ATTEMPTS || wait > LONGEST_WAIT_MS) throw error;
        await new Promise<void>((resolve) => this.#environment.after(wait, resolve));
      }
    }
  }

  async #once<T>(method: Method, path: string, { query, body, idempotencyKey }: Call): Promise<T> {
    const headers: Record<string, string> = { authorization: `Bearer ${await this.#tokens.get()}` };
    if (body) headers["content-type"] = "application/json";
    if (idempotencyKey !== undefined) headers["idempotency-key"] = idempotencyKey;
    const abort = new AbortController();
    const cancel = this.#environment.after(ANSWER_WITHIN_MS, () => abort.abort());
    try {
      const response = await this.#environment.fetch(`${this.#base}${path}${search(query)}`, {
        method,
        headers,
        cache: "no-store",
        credentials: "omit",
        signal: abort.signal,
        ...(body && { body: JSON.stringify(body) }),
      });
      return await read<T>(response);
    } catch (error) {
      if (error instanceof ChatError) throw error;
      throw abort.signal.aborted ? ChatError.timeout() : ChatError.connectionLost();
    } finally {
      cancel();
    }
  }
}

function search(query: Query = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value));
  const text = parameters.toString();
  return text && `?${text}`;
}

async function read<T>(response: Response): Promise<T> {
  const text = await response.text();
  if (response.ok) {
    try {
      // The contract says what each call is answered with.
      return (text === "" ? undefined : JSON.parse(text)) as T;
    } catch {
      throw new ChatError({ code: "bad_answer", message: "the answer is not JSON", temporary: false }, response.status);
    }
  }
  throw new ChatError(faultOf(response, text), response.status);
}

function faultOf(response: Response, text: string): ReturnType<typeof readFault> {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    body = undefined;
  }
  const { status } = response;
  const fault = readFault(body, {
    code: status === 404 ? "not_found" : status === 501 ? "not_enabled" : "bad_answer",
    message: `the server answered ${status}`,
    temporary: status === 429 || status >= 502,
  });
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  if (fault.retry_after_ms !== undefined || Number.isNaN(seconds)) return fault;
  return { ...fault, retry_after_ms: seconds * 1000 };
}
