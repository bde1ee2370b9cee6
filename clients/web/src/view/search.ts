import type { Found } from "@chatcluster/client";
import type { Account } from "../account.ts";
import { pieces } from "../model/highlight.ts";
import { clockTime, isMissing, reason } from "../model/words.ts";
import { h, setText, uniqueId } from "./dom.ts";

const PAUSE_MS = 250;

/** Search over all chats of a user, with what was found marked. */
export class Search {
  readonly element: HTMLElement;
  readonly #account: Account;
  readonly #open: (found: Found) => void;
  readonly #input: HTMLInputElement;
  readonly #status = h("p", { class: "search-status", attributes: { role: "status" } });
  readonly #results = h("ul", { class: "results", attributes: { "aria-label": "Search results" } });
  #pause: ReturnType<typeof setTimeout> | undefined;
  /** Counts searches, so that a late answer does not overwrite a newer one. */
  #asked = 0;

  constructor(account: Account, open: (found: Found) => void) {
    this.#account = account;
    this.#open = open;
    const id = uniqueId("search");
    this.#input = h("input", {
      attributes: { id, type: "search", placeholder: "Search", autocomplete: "off", maxlength: 256 },
    });
    const label = h("label", {
      class: "visually-hidden",
      text: `Search messages of ${account.user}`,
      attributes: { for: id },
    });
    this.element = h("search", { class: "search" }, label, this.#input, this.#status, this.#results);
    this.#input.addEventListener("input", () => {
      clearTimeout(this.#pause);
      this.#pause = setTimeout(() => void this.#search(), PAUSE_MS);
    });
    this.#input.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.clear();
    });
  }

  clear(): void {
    this.#input.value = "";
    void this.#search();
  }

  async #search(): Promise<void> {
    const asked = ++this.#asked;
    const q = this.#input.value.trim();
    if (q === "") {
      this.#show([], "");
      return;
    }
    try {
      const found = await this.#account.search(q);
      if (asked === this.#asked) this.#show(found, found.length === 0 ? "Nothing found" : `${found.length} found`);
    } catch (error) {
      if (asked !== this.#asked) return;
      this.#show([], isMissing(error) ? "Search is not available on this server" : `Search failed: ${reason(error)}`);
    }
  }

  #show(found: Found[], status: string): void {
    setText(this.#status, status);
    this.#results.replaceChildren(...found.map((each) => this.#result(each)));
  }

  #result(found: Found): HTMLLIElement {
    const { message, highlights } = found;
    const text = h("span", { class: "result-text" });
    for (const { text: piece, isMarked } of pieces(message.content, highlights)) {
      text.append(isMarked ? h("mark", { text: piece }) : piece);
    }
    const title = this.#account.inbox.get(message.chat_id)?.title ?? "Chat";
    const where = h("span", {
      class: "result-where",
      text: `${message.sender} in ${title}, ${clockTime(message.created_at)}`,
    });
    const entry = h("button", { class: "result", attributes: { type: "button" } }, where, text);
    entry.addEventListener("click", () => this.#open(found));
    return h("li", {}, entry);
  }
}
