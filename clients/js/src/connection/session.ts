/** One socket: from its opening over `hello` to its close. Requests find their replies here. */

import type { Cancel, Environment, Socket } from "../environment.ts";
import { ChatError, readFault } from "../fault.ts";
import { GAVE_UP } from "../protocol/close.ts";
import { decode, type Incoming, type Reply } from "../protocol/decode.ts";
import { type Hello, type Push, type Requests, type RequestType, SUBPROTOCOL } from "../protocol/frames.ts";
import { Heartbeat } from "./heartbeat.ts";

/** Until `hello`: the server gives 10 s to authenticate. */
const HELLO_WITHIN_MS = 15_000;
/** The server promises a reply within 15 s. */
const REPLY_WITHIN_MS = 20_000;

export interface Closed {
  code: number;
  reason: string;
}

export interface SessionHandlers {
  hello(hello: Hello): void;
  push(push: Push): void;
  /** Once, and nothing after it. */
  closed(closed: Closed): void;
  /** A frame that could not be used. */
  odd(what: string): void;
}

interface Waiting {
  done(reply: Reply): void;
  fail(error: ChatError): void;
}

export class Session {
  readonly #environment: Environment;
  readonly #handlers: SessionHandlers;
  readonly #socket: Socket;
  readonly #heartbeat: Heartbeat;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #state: "opening" | "live" | "closed" = "opening";
  #helloDeadline: Cancel;
  /** Whether the user is at the app; told with each ping. */
  active = true;

  constructor(environment: Environment, url: string, token: string, handlers: SessionHandlers) {
    this.#environment = environment;
    this.#handlers = handlers;
    this.#heartbeat = new Heartbeat(
      environment,
      () => this.#ping(),
      () => this.#giveUp("nothing came after a ping"),
    );
    this.#helloDeadline = environment.after(HELLO_WITHIN_MS, () => this.#giveUp("no hello in time"));
    this.#socket = new environment.WebSocket(url, [SUBPROTOCOL, `bearer.${token}`]);
    this.#socket.onmessage = (event: { data: unknown }) => this.#take(event.data);
    this.#socket.onclose = (event: Closed) => this.#end({ code: event.code, reason: event.reason });
    // A close always follows, and says more.
    this.#socket.onerror = () => {};
  }

  get isLive(): boolean {
    return this.#state === "live";
  }

  /** Asks, and resolves with the `d` of the `ack` or `pong`; rejects with a `ChatError`. */
  request<T extends RequestType>(type: T, d: Requests[T]["d"]): Promise<Requests[T]["reply"]> {
    if (this.#state === "closed") return Promise.reject(ChatError.connectionLost());
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        this.#waiting.delete(id);
        cancel();
        act();
      };
      const cancel = this.#environment.after(REPLY_WITHIN_MS, () => settle(() => reject(ChatError.timeout())));
      this.#waiting.set(id, {
        done: (reply) =>
          settle(() => {
            // The contract pairs each request with its reply.
            if (reply.type !== "error") resolve(reply.d as unknown as Requests[T]["reply"]);
            else
              reject(
                new ChatError(
                  readFault(reply.d, { code: "bad_answer", message: "an error without a code", temporary: true }),
                ),
              );
          }),
        fail: (error) => settle(() => reject(error)),
      });
      this.#send({ id, type, d });
    });
  }

  /** Tells without wanting a reply. */
  notify<T extends RequestType>(type: T, d: Requests[T]["d"]): void {
    if (this.#state === "live") this.#send({ type, d });
  }

  /** Pings now, to find out whether the connection still lives. */
  check(): void {
    if (this.#state === "live") this.#heartbeat.check();
  }

  /** Ends the session; `closed` is not called. */
  close(code: number, reason: string): void {
    if (this.#state === "closed") return;
    this.#finish();
    this.#socket.close(code, reason);
  }

  #take(data: unknown): void {
    if (this.#state === "closed") return;
    this.#heartbeat.alive();
    const incoming: Incoming =
      typeof data === "string" ? decode(data) : { kind: "malformed", reason: "a binary frame" };
    if (incoming.kind === "reply") this.#waiting.get(incoming.reply.id)?.done(incoming.reply);
    else if (incoming.kind === "malformed") this.#handlers.odd(incoming.reason);
    else if (incoming.kind === "push") this.#push(incoming.push);
  }

  #push(push: Push): void {
    if (push.type !== "hello") {
      this.#handlers.push(push);
      return;
    }
    this.#state = "live";
    this.#helloDeadline();
    this.#heartbeat.start(push.d.heartbeat_ms);
    this.#handlers.hello(push.d);
  }

  #ping(): void {
    // Its reply shows life like any frame; a fault is of no interest here.
    this.#send({ id: this.#nextId++, type: "ping", d: { active: this.active } });
  }

  #send(frame: { id?: number; type: RequestType; d: object }): void {
    this.#socket.send(JSON.stringify(frame));
  }

  #giveUp(reason: string): void {
    if (this.#state === "closed") return;
    // A dead peer does not answer a close, so its end is not awaited.
    this.close(GAVE_UP, reason);
    this.#handlers.closed({ code: 1006, reason });
  }

  #end(closed: Closed): void {
    if (this.#state === "closed") return;
    this.#finish();
    this.#handlers.closed(closed);
  }

  #finish(): void {
    this.#state = "closed";
    this.#heartbeat.stop();
    this.#helloDeadline();
    for (const waiting of [...this.#waiting.values()]) waiting.fail(ChatError.connectionLost());
  }
}
