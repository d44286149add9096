// SPDX-License-Identifier: BSD-2-Clause
//
// Light, dark, or as the system is: what was chosen last stays.
import { button } from "./dom";

const themes = ["auto", "light", "dark"];
const words: Record<string, string> = { auto: "◐ Auto", light: "◐ Light", dark: "◐ Dark" };

const current = (): string => localStorage.getItem("theme") ?? "auto";

/** A button that goes from one to the next; `turned` hears of it, and when the system turns. */
export function themeButton(turned: () => void = () => undefined): HTMLButtonElement {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const control = button("", () => {
    localStorage.setItem("theme", themes[(themes.indexOf(current()) + 1) % themes.length] ?? "auto");
    turn();
  }, { class: "quiet", id: "theme", title: "Light, dark, or as the system is" });
  const apply = (): void => {
    document.documentElement.dataset.theme = current() === "auto" ? (dark.matches ? "dark" : "light") : current();
    control.textContent = words[current()] ?? "";
  };
  const turn = (): void => {
    apply();
    turned();
  };
  apply();
  dark.addEventListener("change", turn);
  return control;
}
