/** Makes and patches elements. Text only ever becomes text: there is no way from a string to markup here. */

type Child = Node | string;

interface Options {
  class?: string;
  text?: string;
  /** Attributes; `false` and `undefined` leave one out. */
  attributes?: Record<string, string | number | boolean | undefined>;
}

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  options: Options = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (options.class !== undefined) element.className = options.class;
  if (options.text !== undefined) element.textContent = options.text;
  for (const [name, value] of Object.entries(options.attributes ?? {})) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

export function button(label: string, onClick: () => void, options: Options = {}): HTMLButtonElement {
  const element = h("button", { text: label, ...options, attributes: { type: "button", ...options.attributes } });
  element.addEventListener("click", onClick);
  return element;
}

/** Sets text only where it changed, so that a live region does not repeat it. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

let nextId = 1;

/** An id for a label or a description to point at. */
export function uniqueId(prefix: string): string {
  return `${prefix}-${nextId++}`;
}

/** A list whose elements stay the same as long as their keys do, so that focus and scrolling survive an update. */
export class KeyedList<T, E extends HTMLElement> {
  readonly #parent: HTMLElement;
  readonly #elements = new Map<string, E>();
  readonly #key: (item: T) => string;
  readonly #create: (item: T) => E;
  readonly #update: (element: E, item: T) => void;

  constructor(
    parent: HTMLElement,
    key: (item: T) => string,
    create: (item: T) => E,
    update: (element: E, item: T) => void,
  ) {
    this.#parent = parent;
    this.#key = key;
    this.#create = create;
    this.#update = update;
  }

  show(items: readonly T[]): void {
    const keys = new Set(items.map(this.#key));
    for (const [key, element] of this.#elements) {
      if (keys.has(key)) continue;
      element.remove();
      this.#elements.delete(key);
    }
    let before = this.#parent.firstElementChild;
    for (const item of items) {
      const element = this.#element(item);
      this.#update(element, item);
      if (element === before) before = before.nextElementSibling;
      else this.#parent.insertBefore(element, before);
    }
  }

  get(key: string): E | undefined {
    return this.#elements.get(key);
  }

  #element(item: T): E {
    const key = this.#key(item);
    const known = this.#elements.get(key);
    if (known) return known;
    const made = this.#create(item);
    this.#elements.set(key, made);
    return made;
  }
}
