/** One tab stop for a list of items that are none by themselves, arrow keys inside it (the "roving tabindex" of the ARIA practices). */

export class Roving {
  readonly #list: HTMLElement;
  readonly #selector: string;
  #current: HTMLElement | undefined;

  constructor(list: HTMLElement, selector: string) {
    this.#list = list;
    this.#selector = selector;
    list.addEventListener("keydown", (event) => this.#move(event));
    list.addEventListener("focusin", (event) => {
      const item = event.target instanceof Element ? event.target.closest<HTMLElement>(selector) : null;
      if (item) this.#choose(item);
    });
  }

  /** Call it after the list changed: while nobody is in it, this end of it is the stop. */
  refresh(end: "first" | "last"): void {
    if (this.#current?.isConnected && this.#list.contains(document.activeElement)) return;
    const items = this.#items();
    const item = end === "first" ? items[0] : items.at(-1);
    if (item) this.#choose(item);
  }

  /** Makes an item the tab stop; its own buttons are stops only while it is. */
  #choose(item: HTMLElement): void {
    if (item === this.#current) return;
    if (this.#current) setStop(this.#current, false);
    setStop(item, true);
    this.#current = item;
  }

  #items(): HTMLElement[] {
    return [...this.#list.querySelectorAll<HTMLElement>(this.#selector)];
  }

  #move(event: KeyboardEvent): void {
    if (!(event.target instanceof HTMLElement) || !event.target.matches(this.#selector)) return;
    const items = this.#items();
    const at = items.indexOf(event.target);
    const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: items.length - 1 }[event.key];
    const item = to === undefined ? undefined : items[to];
    if (!item) return;
    event.preventDefault();
    item.focus();
  }
}

/** Items begin as no stops, and so do the buttons inside them. */
export function setStop(item: HTMLElement, isStop: boolean): void {
  item.tabIndex = isStop ? 0 : -1;
  for (const inner of item.querySelectorAll<HTMLElement>("button")) inner.tabIndex = isStop ? 0 : -1;
}
