/**
 * The page in headless Chromium, as the `chatctl local` that CHATCTL names serves it.
 * SCREENSHOTS is a folder to keep pictures in; CHROMIUM another browser than /usr/bin/chromium.
 */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { Stack } from "../../js/tests/stack.ts";
import { Demo, launch } from "./browser-page.ts";
import { Network } from "./network.ts";

describe("the demo page", { concurrency: false }, () => {
  let stack: Stack;
  let network: Network;
  let browser: Browser;
  let url: string;

  before(async () => {
    stack = await Stack.start();
    network = new Network(stack.demoUrl);
    url = await network.start();
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    network?.stop();
    await stack?.stop();
  });

  /** Runs a test on a page of its own, and fails it if the console complained. */
  function onPage(name: string, run: (demo: Demo) => Promise<void>, options = {}): void {
    test(name, async () => {
      network.mend();
      const demo = await (await Demo.open(browser, url, options)).live();
      try {
        await run(demo);
      } catch (error) {
        await demo.screenshot(`failed ${name}`);
        throw error;
      }
      await demo.close();
    });
  }

  onPage("two users chat: unread, delivered, read", async (demo) => {
    const { ann, bob } = demo;
    await ann.newChat("bob");
    await ann.send("hello bob");
    await bob.chat("ann").locator(".badge", { hasText: "1" }).waitFor();
    await ann.tick("hello bob", "delivered");
    await demo.screenshot("1 unread");
    await bob.open("ann");
    await bob.message("hello bob").waitFor();
    await ann.tick("hello bob", "read");
    await bob.chat("ann").locator(".badge").waitFor({ state: "hidden" });
    await bob.send("hello ann");
    await ann.message("hello ann").waitFor();
    await bob.tick("hello ann", "read");
    await demo.screenshot("2 read");
  });

  onPage("typing and presence are seen by the other", async (demo) => {
    const { ann, bob } = demo;
    await ann.open("bob");
    await bob.open("ann");
    await ann.element.locator(".about", { hasText: "online" }).waitFor();
    await bob.composer.pressSequentially("hm");
    await ann.element.locator(".about", { hasText: "bob is typing" }).waitFor();
    await demo.screenshot("3 typing");
    await bob.composer.fill("");
    await ann.element.locator(".about", { hasText: "online" }).waitFor();
    await bob.element.getByRole("button", { name: "Go offline" }).click();
    await ann.element.locator(".about", { hasText: /last seen|offline/ }).waitFor();
    await ann.send("are you there?");
    await ann.tick("are you there?", "sent");
    await bob.element.getByRole("button", { name: "Go online" }).click();
    await ann.tick("are you there?", "read");
  });

  onPage("edits and deletes reach the other", async ({ ann, bob }) => {
    await ann.open("bob");
    await bob.open("ann");
    await ann.send("a tpyo here");
    await bob.message("a tpyo here").waitFor();
    const mine = ann.message("a tpyo here");
    await mine.hover();
    await mine.getByRole("button", { name: "Edit" }).click();
    assert.equal(await ann.composer.inputValue(), "a tpyo here");
    await ann.send("a typo here");
    await bob.message("a typo here").locator(".edited").waitFor();
    await ann.message("a typo here").hover();
    await ann.message("a typo here").getByRole("button", { name: "Delete" }).click();
    await ann.element.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await bob.message("This message was deleted").last().waitFor();
    assert.equal(await bob.message("a typo here").count(), 0);
  });

  onPage("a group counts N of M, and tells who", async (demo) => {
    const { ann, bob } = demo;
    await ann.newChat("bob, cat", "Crew");
    await bob.chat("Crew").waitFor();
    await ann.send("all aboard");
    const count = ann.message("all aboard").locator(".count");
    await count.and(demo.page.getByText("1 of 2 delivered")).waitFor();
    await bob.open("Crew");
    await count.and(demo.page.getByText("1 of 2 read")).waitFor();
    await ann.message("all aboard").hover();
    await ann.message("all aboard").getByRole("button", { name: "Info" }).click();
    const dialog = ann.element.getByRole("dialog");
    await dialog.getByText("1 of 2 read").waitFor();
    await demo.screenshot("4 group");
    await dialog.getByRole("button", { name: "Close" }).click();
  });

  onPage("search marks what it finds and leads there", async (demo) => {
    const { ann } = demo;
    await ann.open("bob");
    const word = `needle${Date.now()}`;
    await ann.send(`a ${word} in the hay`);
    await ann.tick(word, "delivered");
    await ann.close();
    const search = ann.element.getByLabel("Search messages of ann");
    const found = ann.element.locator(".result mark", { hasText: word });
    // An index is seconds stack.
    const deadline = Date.now() + 15_000;
    do {
      await search.fill("");
      await search.fill(word);
      await found.waitFor({ timeout: 2_000 }).catch(() => {});
    } while ((await found.count()) === 0 && Date.now() < deadline);
    await demo.screenshot("5 search");
    await found.click();
    await ann.message(word).and(demo.page.locator(":focus")).waitFor();
  });

  onPage("a cut network: what is sent meanwhile arrives once, what was missed is caught up", async (demo) => {
    const { ann, bob } = demo;
    await ann.open("bob");
    await bob.open("ann");
    const stamp = Date.now();
    await ann.send(`before ${stamp}`);
    await bob.message(`before ${stamp}`).waitFor();
    network.cut();
    await ann.element.getByRole("button", { name: "Reconnect now" }).waitFor();
    await ann.send(`meanwhile ${stamp}`);
    await ann.tick(`meanwhile ${stamp}`, "sending");
    await demo.screenshot("6 cut");
    network.mend();
    await demo.live();
    await ann.tick(`meanwhile ${stamp}`, "read");
    await bob.message(`meanwhile ${stamp}`).waitFor();
    assert.equal(await bob.message(`meanwhile ${stamp}`).count(), 1);
    assert.equal(await ann.message(`meanwhile ${stamp}`).count(), 1);
  });

  onPage("what users write is text and never markup, wherever it is shown", async (demo) => {
    const { ann, bob, page } = demo;
    await page.evaluate(() => Object.assign(globalThis, { hacked: 0 }));
    const attacks = [
      "<img src=x onerror=hacked++>",
      "<script>hacked++</script>",
      '"><svg onload=hacked++>',
      "javascript:hacked++",
      "<b>bold</b> &lt;i&gt; {{hacked++}}",
      "\u202Eright to left",
    ];
    await ann.open("bob");
    await bob.open("ann");
    for (const attack of attacks) {
      await ann.send(attack);
      await bob.message(attack).last().waitFor();
    }
    await ann.newChat("bob", '<img src=x onerror="hacked++">');
    await bob.chat('<img src=x onerror="hacked++">').first().waitFor();
    await ann.element.getByLabel("Search messages of ann").fill("<img src=x onerror=hacked++>");
    await ann.element.locator(".search-status:not(:empty)").waitFor();
    await demo.screenshot("7 injection");
    assert.equal(await page.evaluate(() => (globalThis as unknown as { hacked: number }).hacked), 0);
    assert.equal(await page.locator(".panel img, .panel svg, .panel script, .panel b, .panel i").count(), 0);
  });

  onPage(
    "the picture of the README shows a day as users have it",
    async (demo) => {
      const { ann, bob } = demo;
      await ann.newChat("bob, cat", "Weekend");
      await bob.open("Weekend");
      await ann.send("Hike on Saturday? The weather looks good.");
      await bob.message("Hike on Saturday?").waitFor();
      await bob.send("I am in! Train at 8:10?");
      await ann.message("I am in!").waitFor();
      await ann.newChat("bob");
      await ann.send("Shall we surprise cat with a cake?");
      await bob.open("ann");
      await bob.message("with a cake?").waitFor();
      await bob.send("Yes! I bake, you carry.");
      await ann.message("I bake").waitFor();
      await ann.send("Deal.");
      await ann.tick("Deal.", "read");
      await ann.open("Weekend");
      await bob.send("Chocolate or lemon?");
      await ann.chat("bob").locator(".badge", { hasText: "1" }).waitFor();
      await ann.composer.fill("8:10 is fine, see you");
      await demo.screenshot("picture of the README");
    },
    { viewport: { width: 1240, height: 560 } },
  );

  test("the policy forbids what the page does not need", async () => {
    const answer = await fetch(url);
    const policy = answer.headers.get("content-security-policy") ?? "";
    for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self' ws:"]) {
      assert(policy.includes(part), `${part} in ${policy}`);
    }
    assert.doesNotMatch(policy, /unsafe/);
    assert.match(await answer.text(), /http-equiv="Content-Security-Policy"/);
  });

  onPage("everything is done by keyboard alone", async (demo) => {
    const { ann, bob, page } = demo;
    await tabTo(page, "New chat");
    await page.keyboard.press("Enter");
    await page.keyboard.type("bob");
    await page.keyboard.press("Enter");
    await ann.element.getByRole("dialog").waitFor({ state: "detached" });
    await ann.composer.and(page.locator(":focus")).waitFor();
    const stamp = Date.now();
    await page.keyboard.type(`typed ${stamp}`);
    await page.keyboard.press("Enter");
    await bob
      .chat("ann")
      .locator(".chat-last", { hasText: `typed ${stamp}` })
      .waitFor();
    // What has no seq yet offers no actions, and bob may see it before ann hears of it.
    await ann.tick(`typed ${stamp}`, "delivered");
    await page.keyboard.press("Shift+Tab");
    // The list of messages is one tab stop; its last message offers its actions on the way to it.
    await ann.message(`typed ${stamp}`).getByRole("button", { name: "Delete" }).and(page.locator(":focus")).waitFor();
    await page.keyboard.press("Enter");
    await ann.element.getByRole("dialog").waitFor();
    await page.keyboard.press("Escape");
    await ann.element.getByRole("dialog").waitFor({ state: "detached" });
    await page.keyboard.press("Escape");
    await ann.chat("bob").and(page.locator(":focus")).waitFor();
    await page.keyboard.press("Enter");
    await ann.composer.and(page.locator(":focus")).waitFor();
    await demo.screenshot("8 keyboard");
  });

  onPage("every control has a name, and live regions say what changes", async ({ page, ann }) => {
    await ann.open("bob");
    const nameless = await page.locator("button, input, textarea, a[href]").evaluateAll((elements) =>
      elements
        .filter((element) => (element as HTMLElement).offsetParent !== null)
        .filter((element) => {
          const label = element.id && document.querySelector(`label[for="${element.id}"]`);
          return !element.textContent?.trim() && !element.getAttribute("aria-label") && !label;
        })
        .map((element) => element.outerHTML),
    );
    assert.deepEqual(nameless, []);
    assert.equal(await ann.log.getAttribute("aria-live"), "polite");
    assert.equal(await ann.state.getAttribute("role"), "status");
  });

  onPage(
    "on a phone one user and one view at a time, nothing sideways",
    async (demo) => {
      const { ann, bob, page } = demo;
      await bob.element.waitFor({ state: "hidden" });
      await ann.chat("bob").waitFor();
      await demo.screenshot("9 phone, chats");
      await ann.open("bob");
      await ann.chat("bob").waitFor({ state: "hidden" });
      await ann.send("from the train");
      await ann.tick("from the train", "delivered");
      await demo.screenshot("9 phone, chat");
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false);
      await ann.element.getByRole("button", { name: "Back to the chats" }).click();
      await ann.chat("bob").waitFor();
      await page.locator("#switcher").getByRole("button", { name: "bob" }).click();
      await bob.chat("ann").locator(".badge").first().waitFor();
      await bob.open("ann");
      await bob.message("from the train").waitFor();
    },
    { viewport: { width: 375, height: 700 }, hasTouch: true, isMobile: true },
  );

  for (const colorScheme of ["light", "dark"] as const) {
    onPage(
      `text is readable in ${colorScheme}`,
      async (demo) => {
        await demo.ann.open("bob");
        await demo.bob.open("ann");
        await demo.screenshot(`10 ${colorScheme}`);
        const poor = await demo.page.evaluate(contrastBelow, 4.5);
        assert.deepEqual(poor, []);
      },
      { colorScheme },
    );
  }
});

async function tabTo(page: Page, name: string): Promise<void> {
  for (let step = 0; step < 40; step += 1) {
    await page.keyboard.press("Tab");
    if ((await page.evaluate(() => document.activeElement?.textContent)) === name) return;
  }
  throw new Error(`Tab never came to ${name}`);
}

/** Runs in the page: texts whose contrast to their ground is below the ratio that WCAG AA asks for. */
function contrastBelow(least: number): string[] {
  const parse = (color: string): number[] => (color.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = (color: number[]): number => {
    const [r = 0, g = 0, b = 0] = color.slice(0, 3).map((part) => {
      const share = part / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const groundOf = (element: Element | null): number[] => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color[3] !== 0) return color;
    }
    return [255, 255, 255];
  };
  const poor: string[] = [];
  for (const element of document.querySelectorAll("body *")) {
    const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent?.trim());
    const isSeen = element instanceof HTMLElement && element.offsetParent !== null;
    if (!hasText || !isSeen || element.matches(".visually-hidden, .presence")) continue;
    const text = luminance(parse(getComputedStyle(element).color));
    const ground = luminance(groundOf(element));
    const ratio = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
    if (ratio < least) poor.push(`${element.className}: ${element.textContent} ${ratio.toFixed(2)}`);
  }
  return poor;
}
