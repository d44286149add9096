// SPDX-License-Identifier: BSD-2-Clause
//
// Rows of a table by key. Those that stay are the same elements whatever comes and goes around them, so that focus and a
// click that has begun stay where they are.
import { h } from "./dom";

export interface Shown {
  key: string;
  cells: (string | number | undefined)[];
  /** Made once, when the row comes. */
  action: () => HTMLElement | false;
}

export class Rows {
  readonly body = h("tbody", {});
  private readonly rows = new Map<string, HTMLTableRowElement>();
  private readonly none: HTMLTableRowElement;

  /** `kinds`: of each column but that of the action. */
  constructor(private readonly kinds: ("code" | "words" | "")[]) {
    this.none = h("tr", {}, h("td", { colspan: kinds.length + 1, class: "hint" }, "None."));
  }

  update(wanted: Shown[]): void {
    const focused = document.activeElement;
    const hadFocus = this.body.contains(focused);
    const keys = new Set(wanted.map((each) => each.key));
    for (const [key, row] of this.rows) {
      if (keys.has(key)) continue;
      row.remove();
      this.rows.delete(key);
    }
    this.none.remove();
    let next = this.body.firstElementChild;
    for (const each of wanted) {
      const row = this.row(each);
      if (row === next) next = next.nextElementSibling;
      else this.body.insertBefore(row, next);
    }
    if (wanted.length === 0) this.body.append(this.none);
    if (!hadFocus || document.activeElement === focused) return;
    // A row that had it was moved, or is gone: who uses the keyboard goes on from the table.
    if (focused?.isConnected) (focused as HTMLElement).focus();
    else this.body.closest<HTMLElement>("[tabindex]")?.focus();
  }

  private row(shown: Shown): HTMLTableRowElement {
    let row = this.rows.get(shown.key);
    if (!row) {
      row = h("tr", {}, ...this.kinds.map((kind) => h("td", { class: kind !== "" && kind })), h("td", {}, shown.action()));
      this.rows.set(shown.key, row);
    }
    shown.cells.forEach((cell, column) => {
      const element = row.cells[column];
      const text = cell === undefined ? "" : String(cell);
      if (element && element.textContent !== text) element.textContent = text;
    });
    return row;
  }
}
