/** The demo page: two users of one server, side by side. */

import { reason } from "./model/words.ts";
import { demoUsers, tokenOf } from "./tokens.ts";
import { button, h } from "./view/dom.ts";
import { Panel } from "./view/panel.ts";

const RETRY_MS = 2_000;

async function start(main: HTMLElement, switcher: HTMLElement): Promise<void> {
  let users: string[];
  try {
    users = (await demoUsers()).map(({ user }) => user);
  } catch (error) {
    const problem = h("p", { class: "problem", attributes: { role: "alert" } });
    problem.textContent = `The page has no users yet: ${reason(error)}. It asks again.`;
    main.replaceChildren(problem);
    setTimeout(() => void start(main, switcher), RETRY_MS);
    return;
  }
  const panels = users.map((user) => new Panel(user, () => tokenOf(user)));
  main.replaceChildren(...panels.map((panel) => panel.element));
  switcher.replaceChildren(...panels.map((panel) => switchTo(panel, panels)));
  choose(panels[0], panels, switcher);
  for (const panel of panels) panel.start();
  watchPage(panels);
}

/** On a phone there is room for one user at a time. */
function switchTo(panel: Panel, panels: Panel[]): HTMLButtonElement {
  const element = button(panel.account.user, () => {
    const { parentElement } = element;
    if (parentElement) choose(panel, panels, parentElement);
  });
  element.dataset["user"] = panel.account.user;
  return element;
}

function choose(chosen: Panel | undefined, panels: Panel[], switcher: HTMLElement): void {
  for (const panel of panels) panel.element.classList.toggle("chosen", panel === chosen);
  for (const each of switcher.querySelectorAll("button")) {
    each.setAttribute("aria-pressed", String(each.dataset["user"] === chosen?.account.user));
  }
  chosen?.show();
}

function watchPage(panels: Panel[]): void {
  addEventListener("online", () => {
    for (const { account } of panels) account.client.hurry();
  });
  document.addEventListener("visibilitychange", () => {
    const isVisible = document.visibilityState === "visible";
    for (const panel of panels) {
      panel.account.client.setActive(isVisible);
      if (isVisible) panel.show();
    }
  });
  // A page that is left signs off, so that its users go offline at once.
  addEventListener("pagehide", () => {
    for (const { account } of panels) account.client.stop();
  });
  addEventListener("pageshow", (event) => {
    if (event.persisted) for (const panel of panels) panel.start();
  });
}

const main = document.querySelector("main");
const switcher = document.querySelector<HTMLElement>("#switcher");
if (main && switcher) void start(main, switcher);
