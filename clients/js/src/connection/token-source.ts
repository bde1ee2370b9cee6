import type { Time } from "../protocol/model.ts";
import type { ServerClock } from "../server-clock.ts";

/** Gives a JWT of the app's identity provider. Called when there is none, or the last one is about to expire. */
export type TokenProvider = () => string | Promise<string>;

const MARGIN_MS = 60_000;

/** Keeps the last token for as long as it is good, so that a reconnect does not ask the identity provider. */
export class TokenSource {
  readonly #provider: TokenProvider;
  readonly #clock: ServerClock;
  #token: string | undefined;
  #expiresAt: Time | undefined;
  #asking: Promise<string> | undefined;

  constructor(provider: TokenProvider, clock: ServerClock) {
    this.#provider = provider;
    this.#clock = clock;
  }

  async get(): Promise<string> {
    if (this.#token !== undefined && this.#isGood()) return this.#token;
    return this.fresh();
  }

  /** A new token; askers at the same time share one call. */
  async fresh(): Promise<string> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  /** The server said when the token expires. */
  learn(expiresAt: Time): void {
    this.#expiresAt = expiresAt;
  }

  /** The server refused the token. */
  forget(): void {
    this.#token = undefined;
  }

  async #ask(): Promise<string> {
    const token = await this.#provider();
    this.#token = token;
    this.#expiresAt = undefined;
    return token;
  }

  #isGood(): boolean {
    return this.#expiresAt === undefined || this.#clock.until(this.#expiresAt) > MARGIN_MS;
  }
}
