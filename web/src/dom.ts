// SPDX-License-Identifier: BSD-2-Clause
//
// Elements by a function call. Text is text: nothing here makes markup of strings.

type Child = Node | string | number | false | null | undefined;
type Handlers = { [Name in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[Name]) => void };
export type Attributes = Record<string, string | number | boolean | null | undefined> & { on?: never };

export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Record<string, string | number | boolean | null | undefined> = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

export function append(parent: Node, children: Child[]): void {
  for (const child of children) {
    if (child === false || child === null || child === undefined) continue;
    parent.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

export function on<Element extends HTMLElement>(element: Element, handlers: Handlers): Element {
  for (const [name, handler] of Object.entries(handlers))
    element.addEventListener(name, handler as (event: Event) => void);
  return element;
}

export function button(label: string, pressed: () => void, attributes: Record<string, string | boolean> = {}): HTMLButtonElement {
  return on(h("button", { type: "button", ...attributes }, label), { click: pressed });
}

export function replace(parent: Element, ...children: Child[]): void {
  parent.replaceChildren();
  append(parent, children);
}

/** "RFC 6887 s11.1" as a link to that section. Following it is the reader's choice; nothing is loaded before. */
export function citation(source: string | undefined): Child {
  const found = /^RFC (\d+) s([\d.]+)$/.exec(source ?? "");
  if (!found) return source ?? "";
  return h("a", { class: "citation", href: `https://www.rfc-editor.org/rfc/rfc${found[1]}#section-${found[2]}`,
    target: "_blank", rel: "noopener noreferrer" }, source);
}
