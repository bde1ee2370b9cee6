/**
 * Keeps one live session: opens it, opens the next one by the close-code table and the back-off rule, and moves to
 * another gateway when told to (the new one first, then the old one is closed).
 */

import type { Cancel, Environment } from "../environment.ts";
import { afterClose, CLOSE } from "../protocol/close.ts";
import type { Hello, Push } from "../protocol/frames.ts";
import { Backoff } from "./backoff.ts";
import { type Closed, Session } from "./session.ts";
import type { TokenSource } from "./token-source.ts";

export interface ConnectorHandlers {
  /** A session is live; the one before it, if any, is closed. */
  live(session: Session, hello: Hello): void;
  push(push: Push): void;
  /** The live session ended, and another one is on its way. */
  lost(): void;
  connecting(): void;
  waiting(ms: number, why: Closed): void;
  /** No further attempt is made. */
  stopped(why: Closed): void;
  odd(what: string): void;
}

export class Connector {
  readonly #environment: Environment;
  readonly #url: string;
  readonly #tokens: TokenSource;
  readonly #handlers: ConnectorHandlers;
  readonly #backoff = new Backoff();
  #current: Session | undefined;
  #next: Session | undefined;
  /** The wait before the next attempt. */
  #timer: Cancel | undefined;
  /** The wait is that of a `reconnect`, which the server has spread already. */
  #isMoving = false;
  /** Counts attempts, so that one that was overtaken knows. */
  #attempt = 0;
  #isAsking = false;
  #isRunning = false;

  constructor(environment: Environment, url: string, tokens: TokenSource, handlers: ConnectorHandlers) {
    this.#environment = environment;
    this.#url = url;
    this.#tokens = tokens;
    this.#handlers = handlers;
  }

  get current(): Session | undefined {
    return this.#current;
  }

  start(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#try();
  }

  /** Ends the wait before the next attempt, or finds out whether the live session still lives. */
  hurry(): void {
    if (this.#current) this.#current.check();
    else if (this.#timer) this.#try();
  }

  stop(): void {
    this.#isRunning = false;
    this.#attempt += 1;
    this.#isAsking = false;
    this.#cancelTimer();
    for (const session of [this.#current, this.#next]) session?.close(CLOSE.normal, "");
    this.#current = undefined;
    this.#next = undefined;
  }

  /** Obeys `reconnect`. */
  move(afterMs: number): void {
    if (this.#isComing) return;
    this.#isMoving = true;
    this.#timer = this.#environment.after(afterMs, () => this.#try());
  }

  get #isComing(): boolean {
    return this.#timer !== undefined || this.#isAsking || this.#next !== undefined;
  }

  #try(): void {
    this.#cancelTimer();
    if (!this.#current) this.#handlers.connecting();
    const attempt = ++this.#attempt;
    this.#isAsking = true;
    this.#tokens.get().then(
      (token) => {
        if (attempt !== this.#attempt) return;
        this.#isAsking = false;
        this.#open(token);
      },
      (error: unknown) => {
        if (attempt !== this.#attempt) return;
        this.#isAsking = false;
        this.#retry({ code: 1006, reason: `no token: ${error instanceof Error ? error.message : String(error)}` });
      },
    );
  }

  #open(token: string): void {
    try {
      const session: Session = new Session(this.#environment, this.#url, token, {
        hello: (hello) => this.#hello(session, hello),
        push: (push) => {
          if (session === this.#current) this.#handlers.push(push);
        },
        closed: (closed) => this.#closed(session, closed),
        odd: (what) => this.#handlers.odd(what),
      });
      this.#next = session;
    } catch (error) {
      // The constructor refuses a URL or a token that no attempt could use.
      this.#retry({ code: CLOSE.badToken, reason: error instanceof Error ? error.message : String(error) });
    }
  }

  #hello(session: Session, hello: Hello): void {
    if (session !== this.#next) return;
    const old = this.#current;
    this.#next = undefined;
    this.#current = session;
    this.#backoff.hello(this.#environment.monotonic());
    old?.close(CLOSE.normal, "");
    this.#handlers.live(session, hello);
  }

  #closed(session: Session, closed: Closed): void {
    if (session === this.#next) {
      this.#next = undefined;
      this.#retry(closed);
    } else if (session === this.#current) {
      this.#current = undefined;
      this.#handlers.lost();
      if (!afterClose(closed.code).reconnect) this.#stopFor(closed);
      // The end of a drain that was obeyed, or a cut just before it: the next session was due anyway.
      else if (this.#isMoving) this.#try();
      else if (this.#isComing) this.#handlers.connecting();
      else this.#retry(closed);
    }
  }

  #retry(closed: Closed): void {
    const { reconnect, needsToken, floorMs } = afterClose(closed.code);
    if (needsToken) this.#tokens.forget();
    if (!reconnect) {
      // Refused while the old session lives on: it is kept, and its own end decides.
      if (!this.#current) this.#stopFor(closed);
      return;
    }
    const wait = this.#backoff.next(this.#environment.monotonic(), this.#environment.random(), floorMs);
    if (!this.#current) this.#handlers.waiting(wait, closed);
    this.#timer = this.#environment.after(wait, () => this.#try());
  }

  #stopFor(closed: Closed): void {
    if (afterClose(closed.code).needsToken) this.#tokens.forget();
    this.stop();
    this.#handlers.stopped(closed);
  }

  #cancelTimer(): void {
    this.#timer?.();
    this.#timer = undefined;
    this.#isMoving = false;
  }
}
