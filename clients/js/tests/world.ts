/** A world without time and network of its own: tests move the clock, and are the server. */

import assert from "node:assert/strict";
import type { Cancel, Fetch, Socket } from "../src/environment.ts";
import { ChatClient, type ClientEvents, type ClientOptions, type Environment } from "../src/index.ts";

export const CHAT = "0195c6a8-7d2e-7c00-8000-000000000001";
export const OTHER = "0195c6a8-7d2e-7c00-8000-000000000002";
export const START = Date.parse("2026-11-24T02:00:00.000Z");

export interface Frame {
  id?: number;
  type: string;
  d: Record<string, unknown>;
}

/** The server's end of a socket. */
export class FakeSocket implements Socket {
  onopen: Socket["onopen"] = null;
  onmessage: Socket["onmessage"] = null;
  onclose: Socket["onclose"] = null;
  onerror: Socket["onerror"] = null;
  /** What the client sent and no test has taken yet. */
  readonly frames: Frame[] = [];
  closedWith: number | undefined;
  readonly url: string;
  readonly protocols: string[];

  constructor(url: string, protocols: string[]) {
    this.url = url;
    this.protocols = protocols;
  }

  send(text: string): void {
    if (this.closedWith === undefined) this.frames.push(JSON.parse(text) as Frame);
  }

  close(code = 1005): void {
    this.closedWith = code;
  }

  /** Takes the next frame of a type that the client sent. */
  take(type: string): Frame {
    const at = this.frames.findIndex((frame) => frame.type === type);
    assert.notEqual(at, -1, `no ${type} came, but ${JSON.stringify(this.frames)}`);
    const [frame] = this.frames.splice(at, 1);
    assert(frame);
    return frame;
  }

  has(type: string): boolean {
    return this.frames.some((frame) => frame.type === type);
  }

  push(type: string, d: object): void {
    this.raw(JSON.stringify({ type, d }));
  }

  ack(frame: Frame, d: object = {}): void {
    this.raw(JSON.stringify({ id: frame.id, type: "ack", d }));
  }

  error(frame: Frame, d: object): void {
    this.raw(JSON.stringify({ id: frame.id, type: "error", d: { message: "no", temporary: false, ...d } }));
  }

  raw(data: unknown): void {
    if (this.closedWith === undefined) (this.onmessage as ((event: { data: unknown }) => void) | null)?.({ data });
  }

  /** The server, or the network, ends it. */
  cut(code = 1006, reason = ""): void {
    if (this.closedWith !== undefined) return;
    this.closedWith = code;
    (this.onclose as ((event: { code: number; reason: string }) => void) | null)?.({ code, reason });
  }
}

export interface HttpCall {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: unknown;
}

export class World {
  time = 0;
  /** How far this machine's clock is off. */
  skew = 0;
  randoms: number[] = [];
  readonly sockets: FakeSocket[] = [];
  readonly calls: HttpCall[] = [];
  answer: (call: HttpCall) => { status?: number; body?: object; headers?: Record<string, string> } = () => ({
    status: 404,
    body: { code: "not_found", message: "no", temporary: false },
  });
  readonly #timers = new Map<number, { at: number; task: () => void }>();
  #nextTimer = 1;

  readonly environment: Environment;

  constructor() {
    const { sockets } = this;
    const fakeFetch: Fetch = async (url, init) => {
      const { pathname, search } = new URL(url);
      const headers = init.headers as Record<string, string>;
      const body: unknown = typeof init.body === "string" ? JSON.parse(init.body) : undefined;
      const call = { method: init.method ?? "GET", path: pathname + search, headers, body };
      this.calls.push(call);
      const answer = this.answer(call);
      return new Response(answer.body ? JSON.stringify(answer.body) : null, {
        status: answer.status ?? 200,
        ...(answer.headers && { headers: answer.headers }),
      });
    };
    this.environment = {
      now: () => START + this.skew + this.time,
      monotonic: () => this.time,
      random: () => this.randoms.shift() ?? 0.5,
      after: (ms, task) => this.#after(ms, task),
      WebSocket: class extends FakeSocket {
        constructor(url: string, protocols: string[]) {
          super(url, protocols);
          sockets.push(this);
        }
      },
      fetch: fakeFetch,
    };
  }

  get serverTime(): string {
    return new Date(START + this.time).toISOString();
  }

  /** The socket opened last. */
  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    assert(socket, "no socket was opened");
    return socket;
  }

  /** Lets promises run. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 3; turn += 1) await new Promise<void>((resolve) => setImmediate(resolve));
  }

  /** Moves the clock, and runs what becomes due in order. */
  async advance(ms: number): Promise<void> {
    const until = this.time + ms;
    for (;;) {
      await this.settle();
      const due = [...this.#timers].filter(([, timer]) => timer.at <= until).sort((a, b) => a[1].at - b[1].at)[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.time = Math.max(this.time, due[1].at);
      due[1].task();
    }
    this.time = until;
    await this.settle();
  }

  hello(socket = this.socket, fields: object = {}): void {
    socket.push("hello", {
      user: "ann",
      session: "s1",
      server: "0.1.0",
      epoch: "e1",
      heartbeat_ms: 20_000,
      server_time: this.serverTime,
      token_expires_at: new Date(START + this.time + 3_600_000).toISOString(),
      max_frame_bytes: 65_536,
      max_content_bytes: 16_384,
      ...fields,
    });
  }

  synced(fields: object = {}): object {
    return {
      recovered: true,
      more: [],
      reload: [],
      gone: [],
      unlisted: [],
      server_time: this.serverTime,
      ...fields,
    };
  }

  message(seq: number, fields: object = {}): object {
    const id = String(seq).padStart(12, "0");
    return {
      chat_id: CHAT,
      seq,
      message_id: `0195c6a8-7d2e-7c00-9000-${id}`,
      sender: "bob",
      content_type: "TEXT",
      content: `message ${seq}`,
      created_at: this.serverTime,
      ...fields,
    };
  }

  updated(seq: number, rev: number, fields: object = {}): object {
    return { chat_id: CHAT, seq, rev, content: `edit ${rev}`, edited_at: this.serverTime, ...fields };
  }

  #after(ms: number, task: () => void): Cancel {
    const id = this.#nextTimer++;
    this.#timers.set(id, { at: this.time + ms, task });
    return () => this.#timers.delete(id);
  }
}

const TOLD = [
  "message",
  "message.updated",
  "message.deleted",
  "message.rejected",
  "receipt",
  "presence",
  "typing",
  "chat",
  "acknowledged",
  "failed",
  "reload",
  "gone",
  "unlisted",
  "reset",
  "warning",
] as const satisfies (keyof ClientEvents)[];

/** A client in a world, with what it told. */
export class Rig {
  readonly world: World;
  readonly client: ChatClient;
  readonly events: { type: string; value: unknown }[] = [];
  readonly states: string[] = [];
  tokens = 0;

  constructor(options: Partial<ClientOptions> = {}, world = new World()) {
    this.world = world;
    this.client = new ChatClient({
      url: "http://chat.test",
      token: () => `token${++this.tokens}`,
      environment: world.environment,
      ...options,
    });
    for (const type of TOLD) this.client.on(type, (value: unknown) => this.events.push({ type, value }));
    this.client.on("state", ({ status }) => this.states.push(status));
  }

  /** A rig that is live, following CHAT from this position. */
  static async live(seq = 0, rev = 0): Promise<Rig> {
    const rig = new Rig({ saved: { user: "ann", epoch: "e1", positions: { [CHAT]: [seq, rev] }, outbox: [] } });
    rig.client.start();
    await rig.join();
    return rig;
  }

  /** Plays the server up to the end of the first sync of the newest socket. */
  async join(fields: object = {}): Promise<FakeSocket> {
    await this.world.settle();
    const { socket } = this.world;
    this.world.hello(socket);
    socket.ack(socket.take("sync"), this.world.synced(fields));
    await this.world.settle();
    return socket;
  }

  get seqs(): number[] {
    return this.of("message").map((message) => (message as { seq: number }).seq);
  }

  of(type: (typeof TOLD)[number]): unknown[] {
    return this.events.filter((event) => event.type === type).map((event) => event.value);
  }
}
