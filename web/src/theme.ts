// SPDX-License-Identifier: BSD-2-Clause
//
// Light, dark, or as the system is: what was chosen last stays.
import { button } from "./dom";

const themes = ["auto", "light", "dark"];
const words: Record<string, string> = { auto: "◐ Auto", light: "◐ Light", dark: "◐ Dark" };

const current = (): string => localStorage.getItem("theme") ?? "auto";

/** A button that goes from one to the next; `turned` hears of it. */
export function themeButton(turned: () => void = () => undefined): HTMLButtonElement {
  const control = button("", () => {
    localStorage.setItem("theme", themes[(themes.indexOf(current()) + 1) % themes.length] ?? "auto");
    apply();
    turned();
  }, { class: "quiet", id: "theme", title: "Light, dark, or as the system is" });
  const apply = (): void => {
    document.documentElement.dataset.theme = current();
    control.textContent = words[current()] ?? "";
  };
  apply();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => turned());
  return control;
}
