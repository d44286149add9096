// SPDX-License-Identifier: BSD-2-Clause
//
// The packet's octets, and the fields they are: each shows the other. Octets can be typed over, added and taken away. What
// is typed goes into an input that nobody sees, over the octet under the cursor: for an input a phone opens its keyboard.
import type { Dissection, Field } from "./api";
import { append, citation, h, on, replace } from "./dom";

const hasOctets = (field: Field): boolean => field.kind !== "heading" && field.kind !== "fault";

/** The field that octet `at` is in. */
export function fieldAt(fields: Field[], at: number): number {
  return fields.findIndex((field) => hasOctets(field) && at >= field.offset && at < field.offset + field.size);
}

function spliced(octets: string[], at: number, count: number, ...added: string[]): string[] {
  return [...octets.slice(0, at), ...added, ...octets.slice(at + count)];
}

const rowOctets = 8;
/** What the input holds before something is typed: with nothing in it keyboards of phones would not tell of Backspace. */
const unwritten = " ";

export class OctetView {
  readonly element = h("section", { class: "panel octets", "aria-labelledby": "octets-title" });
  private octets: string[] = [];
  private fields: Field[] = [];
  private cursor = 0;
  private hasHighDigit = false;
  private chosen = -1;
  private readonly size = h("span", { class: "hint" });
  private readonly grid = h("div", { class: "grid" });
  private readonly input = h("input", {
    type: "text", inputmode: "text", autocomplete: "off", autocorrect: "off", autocapitalize: "none", spellcheck: "false",
    "aria-roledescription": "octet editor", "aria-describedby": "octet-here",
    "aria-label": "Octets. Arrow keys move, digits 0 to f write over, + or Insert adds, Backspace and Delete take away",
  });
  /** What the input held when it was last looked at. */
  private written = unwritten;
  private readonly here = h("p", { id: "octet-here", class: "hint here", "aria-live": "polite" });
  private readonly tree = h("ul", { class: "tree", "aria-label": "Fields" });

  constructor(private readonly edited: (octets: string) => void, private readonly pointed: (field: Field) => void) {
    append(this.element, [h("header", {}, h("h2", { id: "octets-title" }, "Octets"), this.size), this.grid, this.here, this.tree]);
    on(this.grid, {
      click: (event) => {
        const at = (event.target as HTMLElement).dataset.at;
        if (at === undefined) return;
        this.moveTo(Number(at), true);
        this.input.focus({ preventScroll: true });
      },
    });
    on(this.input, {
      keydown: (event) => this.key(event),
      input: (event) => this.take((event as InputEvent).isComposing),
      compositionend: () => this.forget(),
      blur: () => this.forget(),
      paste: (event) => {
        const digits = (event.clipboardData?.getData("text") ?? "").replace(/[\s:]/g, "").toLowerCase();
        event.preventDefault();
        if (/^([0-9a-f]{2})+$/.test(digits)) this.change(digits.match(/../g) ?? [], 0);
      },
    });
    this.grid.append(this.input);
    this.forget();
  }

  show(dissection: Dissection): void {
    this.octets = dissection.octets.match(/../g) ?? [];
    this.fields = dissection.fields;
    this.chosen = -1;
    this.cursor = Math.min(this.cursor, this.octets.length);
    this.render();
  }

  hex(): string {
    return this.octets.join("");
  }

  private render(): void {
    this.size.textContent = `${this.octets.length} octets`;
    // Moved or made anew, the input would lose the keyboard.
    for (const old of this.grid.querySelectorAll("span")) old.remove();
    for (let at = 0; at <= this.octets.length; ++at) {
      if (at === this.octets.length && at > 0 && this.cursor < at) break;
      if (at % rowOctets === 0) this.grid.append(h("span", { class: "offset", "aria-hidden": "true" }, String(at)));
      const field = this.fields[fieldAt(this.fields, at)];
      const shade = field ? `o ${field.kind} ${this.shade(at)}` : "o end";
      this.grid.append(h("span", { class: shade, "data-at": at }, this.octets[at] ?? "+"));
    }
    replace(this.tree, ...this.fields.map((field, index) => this.row(field, index)));
    this.mark();
  }

  /** Neighbouring fields differ in shade. */
  private shade(at: number): string {
    const leaves = this.fields.filter(hasOctets);
    return leaves.findIndex((field) => at >= field.offset && at < field.offset + field.size) % 2 === 0 ? "even" : "odd";
  }

  private row(field: Field, index: number): HTMLElement {
    const choose = (): void => {
      this.chosen = index;
      if (field.kind !== "fault") this.cursor = Math.min(field.offset, Math.max(0, this.octets.length - 1));
      this.mark();
      this.pointed(field);
    };
    const name = field.name === "" ? "Not decoded" : field.name;
    const row = on(
      h("button", { type: "button", class: `row-${field.kind}`, "data-index": index },
        h("span", { class: "name" }, name), h("span", { class: "value" }, field.value)),
      { click: choose, focus: choose });
    const item = h("li", {}, row, citation(field.source));
    item.style.setProperty("--level", String(field.level));
    return item;
  }

  private mark(): void {
    const at = this.chosen >= 0 ? this.chosen : fieldAt(this.fields, this.cursor);
    const field = this.fields[at];
    for (const octet of this.grid.querySelectorAll<HTMLElement>("[data-at]")) {
      const place = Number(octet.dataset.at);
      const isIn = field !== undefined && field.kind !== "fault" && place >= field.offset && place < field.offset + field.size;
      octet.classList.toggle("in-field", isIn);
      octet.classList.toggle("cursor", place === this.cursor);
    }
    const row = Math.floor(this.cursor / rowOctets) + 1;
    const column = (this.cursor % rowOctets) + 2;
    this.input.style.gridArea = `${row} / ${column} / ${row + 1} / ${column + 1}`;
    for (const each of this.tree.querySelectorAll<HTMLElement>("[data-index]"))
      each.toggleAttribute("data-chosen", Number(each.dataset.index) === at);
    this.here.textContent = field && field.name !== ""
      ? `Octet ${this.cursor}: ${field.name}${field.value ? ", " + field.value : ""}` : `Octet ${this.cursor}`;
  }

  private moveTo(at: number, isChosen: boolean): void {
    const last = this.octets.length;
    const wasEnd = this.cursor === last;
    this.cursor = Math.max(0, Math.min(at, last));
    this.hasHighDigit = false;
    this.chosen = -1;
    if (wasEnd || this.cursor === last) this.render();
    else this.mark();
    const index = fieldAt(this.fields, this.cursor);
    // Where the list is as long as it wants to be, on a phone, the page would scroll away from the octet.
    if (this.tree.scrollHeight > this.tree.clientHeight)
      this.tree.querySelector(`[data-index="${index}"]`)?.scrollIntoView({ block: "nearest" });
    const field = this.fields[index];
    if (isChosen && field) this.pointed(field);
  }

  private change(octets: string[], cursor: number): void {
    this.octets = octets;
    this.cursor = cursor;
    this.chosen = -1;
    this.edited(this.octets.join(""));
  }

  /** Keys that write nothing. Keyboards of phones have few of them, and do not tell which was pressed. */
  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const steps: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -rowOctets, ArrowDown: rowOctets, Home: -this.cursor, End: this.octets.length - this.cursor };
    const step = steps[event.key];
    if (step !== undefined) this.moveTo(this.cursor + step, false);
    else if (event.key === "Insert") this.add();
    else if (event.key === "Delete") this.remove(this.cursor);
    else return;
    event.preventDefault();
  }

  /** What has been written into the input, or taken out of it, since it was last looked at. */
  private take(isComposing: boolean): void {
    const now = this.input.value;
    let common = 0;
    while (common < Math.min(now.length, this.written.length) && now[common] === this.written[common]) ++common;
    const taken = this.written.length - common;
    // A keyboard that composes a word writes the whole of it each time.
    if (isComposing) this.written = now;
    else this.forget();
    for (let count = 0; count < taken; ++count) this.remove(this.cursor - 1);
    for (const each of now.slice(common).toLowerCase()) {
      if (each === "+") this.add();
      else if (/[0-9a-f]/.test(each)) this.type(each);
    }
  }

  private forget(): void {
    this.written = unwritten;
    this.input.value = unwritten;
  }

  private add(): void {
    this.change(spliced(this.octets, this.cursor, 0, "00"), this.cursor);
  }

  private remove(at: number): void {
    if (at >= 0 && at < this.octets.length) this.change(spliced(this.octets, at, 1), at);
  }

  private type(digit: string): void {
    const octets = [...this.octets];
    const now = octets[this.cursor] ?? "00";
    if (this.hasHighDigit) {
      octets[this.cursor] = now.charAt(0) + digit;
      this.hasHighDigit = false;
      this.change(octets, this.cursor + 1);
    } else {
      octets[this.cursor] = digit + now.charAt(1);
      this.hasHighDigit = true;
      this.change(octets, this.cursor);
    }
  }
}
