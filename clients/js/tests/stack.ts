/** `chatctl local` as a process, for suites that want the real server. Needs CHATCTL, the path of the binary. */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

export const CHATCTL = process.env["CHATCTL"];
const READY_WITHIN_MS = 60_000;
const MANIFEST = process.env["MANIFEST"] ?? resolve("../../examples/chatcluster.yaml");

export class Stack {
  readonly url: string;
  /** Where it serves the demo page, and `/v1/` of the same origin. */
  readonly demoUrl: string;
  readonly #dataDir: string;
  #child: ChildProcess;

  private constructor({ url, demo_url }: Ready, dataDir: string, child: ChildProcess) {
    this.url = url;
    this.demoUrl = demo_url;
    this.#dataDir = dataDir;
    this.#child = child;
  }

  static async start(): Promise<Stack> {
    const dataDir = await mkdtemp(join(tmpdir(), "chatcluster-"));
    const [ready, child] = await launch(dataDir, "0");
    return new Stack(ready, dataDir, child);
  }

  /** Kills it as a crash would, and starts it again on the same data and port. */
  async crash(): Promise<void> {
    await this.#kill();
    [, this.#child] = await launch(this.#dataDir, new URL(this.url).port);
  }

  async token(user: string): Promise<string> {
    const { stdout } = await promisify(execFile)(chatctl(), ["token", "--user", user, "--data-dir", this.#dataDir]);
    return stdout.trim();
  }

  /** Runs another command of chatctl on this stack. */
  async run(...args: string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(chatctl(), [...args, "--data-dir", this.#dataDir]);
    return stdout;
  }

  async stop(): Promise<void> {
    await this.#kill();
    await rm(this.#dataDir, { recursive: true, force: true });
  }

  async #kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((done) => this.#child.once("exit", done));
    this.#child.kill("SIGKILL");
    await ended;
  }
}

/** What `chatctl local` says when clients may come. */
interface Ready {
  url: string;
  demo_url: string;
}

async function launch(dataDir: string, port: string): Promise<[ready: Ready, child: ChildProcess]> {
  const child = spawn(chatctl(), ["local", "--json", "-f", MANIFEST, "--data-dir", dataDir, "--port", port], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ready = await new Promise<Ready>((done, fail) => {
    const deadline = setTimeout(() => fail(new Error("chatctl local was not ready in time")), READY_WITHIN_MS);
    child.once("exit", (code) => fail(new Error(`chatctl local ended with ${code} before it was ready`)));
    createInterface({ input: child.stdout }).on("line", (line) => {
      const event = JSON.parse(line) as { event: string } & Ready;
      if (event.event !== "ready") return;
      clearTimeout(deadline);
      done(event);
    });
  });
  return [ready, child];
}

function chatctl(): string {
  if (CHATCTL === undefined) throw new Error("CHATCTL names no chatctl binary");
  return CHATCTL;
}
