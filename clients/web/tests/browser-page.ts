/** The page as a user of it: what is on screen, found by role and name. */

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Locator, type Page } from "playwright-core";

const CHROMIUM = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
const SCREENSHOTS = process.env["SCREENSHOTS"];
export const WITHIN_MS = Number(process.env["WITHIN_MS"] ?? 15_000);

export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** Everything of one user. */
export class Panel {
  readonly element: Locator;
  readonly user: string;
  readonly #page: Page;

  constructor(page: Page, user: string) {
    this.#page = page;
    this.user = user;
    this.element = page.locator(`.panel[data-user="${user}"]`);
  }

  get log(): Locator {
    return this.element.getByRole("log");
  }

  get composer(): Locator {
    return this.element.getByLabel(`Message from ${this.user}`);
  }

  get state(): Locator {
    return this.element.locator(".state");
  }

  chat(title: string): Locator {
    return this.element.locator(".chat", { has: this.#page.locator(".chat-title", { hasText: title }) });
  }

  message(text: string): Locator {
    return this.log.locator(".message", { hasText: text });
  }

  async live(): Promise<void> {
    await this.element.locator('.state[data-status="live"]').waitFor({ state: "attached" });
  }

  async newChat(users: string, name = ""): Promise<void> {
    await this.element.getByRole("button", { name: "New chat" }).click();
    await this.element.getByLabel("With").fill(users);
    if (name !== "") await this.element.getByLabel("Group name").fill(name);
    await this.element.getByRole("button", { name: "Create", exact: true }).click();
    await this.element.getByRole("dialog").waitFor({ state: "detached" });
  }

  async open(title: string): Promise<void> {
    await this.chat(title).click();
    await this.element.locator(".conversation .title", { hasText: title }).waitFor();
  }

  async send(text: string): Promise<void> {
    await this.composer.fill(text);
    await this.composer.press("Enter");
  }

  async close(): Promise<void> {
    await this.composer.press("Escape");
  }

  /** Waits until an own message has this tick. */
  async tick(text: string, tick: string): Promise<void> {
    await this.message(text).locator(`.tick[data-tick="${tick}"]`).waitFor();
  }
}

export class Demo {
  readonly page: Page;
  readonly ann: Panel;
  readonly bob: Panel;
  /** What the console complained of, and dialogs that no code of ours opened. */
  readonly complaints: string[] = [];

  private constructor(page: Page) {
    this.page = page;
    this.ann = new Panel(page, "ann");
    this.bob = new Panel(page, "bob");
  }

  static async open(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Demo> {
    const context = await browser.newContext({ viewport: { width: 1400, height: 860 }, ...options });
    context.setDefaultTimeout(WITHIN_MS);
    const demo = new Demo(await context.newPage());
    demo.page.on("console", (message) => {
      // Failed connections and answers like 404 and 501 are the browser's own words, and part of the tests.
      if (message.type() === "error" && !/Failed to load resource|WebSocket connection/.test(message.text())) {
        demo.complaints.push(message.text());
      }
    });
    demo.page.on("pageerror", (error) => demo.complaints.push(error.message));
    demo.page.on("dialog", (dialog) => {
      demo.complaints.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    await demo.page.goto(url);
    return demo;
  }

  async live(): Promise<this> {
    await Promise.all([this.ann.live(), this.bob.live()]);
    return this;
  }

  async screenshot(name: string): Promise<void> {
    if (SCREENSHOTS === undefined) return;
    await mkdir(SCREENSHOTS, { recursive: true });
    await this.page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
  }

  async close(): Promise<void> {
    await this.page.context().close();
    assert.deepEqual(this.complaints, []);
  }
}
