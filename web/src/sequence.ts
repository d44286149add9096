// SPDX-License-Identifier: BSD-2-Clause
//
// Steps with what is expected of their answers: made here, saved as a file, and run again by portolan send --sequence.
import { api, type Draft, type Entry, type Packet, type Sequence, type SequenceStep, type Target } from "./api";
import { append, button, h, on, replace } from "./dom";

/** "Assigned External Port" to "assigned-external-port". */
export function fieldKey(name: string): string {
  return name.replace(/'/g, "").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
}

type Expectation = NonNullable<SequenceStep["expect"]>;

/** One line for each field: "result-code = SUCCESS", "lifetime = 1..7200", "options = FILTER, FILTER". */
export function expectationText(expect: Expectation | undefined): string {
  if (expect === undefined) return "";
  if (expect === "nothing") return "nothing";
  return Object.entries(expect).map(([key, value]) => {
    const shown = Array.isArray(value) ? (typeof value[0] === "number" ? value.join("..") : value.join(", ")) : String(value);
    return `${key} = ${shown}`;
  }).join("\n");
}

export function expectationOf(text: string): Expectation | undefined {
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  if (lines.length === 0) return undefined;
  if (lines.length === 1 && lines[0] === "nothing") return "nothing";
  const expect: Record<string, string | number | number[] | string[]> = {};
  for (const line of lines) {
    const equals = line.indexOf("=");
    const key = (equals < 0 ? line : line.slice(0, equals)).trim();
    const value = equals < 0 ? "" : line.slice(equals + 1).trim();
    const range = /^(\d+)\.\.(\d+)$/.exec(value);
    if (key === "options") expect[key] = value === "" ? [] : value.split(",").map((each) => each.trim());
    else if (range) expect[key] = [Number(range[1]), Number(range[2])];
    else expect[key] = /^\d{1,15}$/.test(value) ? Number(value) : value;
  }
  return expect;
}

/** What an answer said that a later one should say again: not its epoch, and of lifetimes that there is one. */
export function expectationFrom(answer: Packet): Expectation {
  const expect: Record<string, string | number | number[]> = {};
  const wanted = ["Result Code", "Internal Port", "Assigned External Port", "Assigned External IP Address", "Remote Peer Port"];
  for (const field of answer.fields) {
    if (!wanted.includes(field.name) || field.level > 1) continue;
    const word = field.value.split(" ")[0] ?? "";
    expect[fieldKey(field.name)] = field.name === "Result Code" ? (/\((.*)\)/.exec(field.value)?.[1] ?? word) : /^\d+$/.test(word) ? Number(word) : word;
  }
  return expect;
}

export class SequenceView {
  readonly element = h("section", { class: "panel sequence", "aria-labelledby": "sequence-title" });
  private sequence: Sequence = { name: "My sequence", step: [] };
  private readonly list = h("ol", { class: "steps", "aria-label": "Steps" });
  private readonly name = h("input", { id: "sequence-name", "aria-label": "Name of the sequence", autocomplete: "off" });
  private readonly problem = h("p", { class: "problem", role: "alert" });
  private readonly result = h("p", { class: "result", role: "status" });
  private results: (boolean | undefined)[] = [];
  private isRunning = false;
  private readonly runButton = button("Run", () => void this.run(), { class: "primary" });
  private readonly stopButton = button("Stop", () => void api.stop());

  constructor(private readonly handlers: { draft: () => Draft; target: () => Target; show: (draft: Draft) => void }) {
    const file = on(h("input", { type: "file", accept: ".json,application/json", hidden: true, "aria-label": "Sequence file" }), {
      change: () => {
        void file.files?.[0]?.text().then((text) => this.open(text));
        file.value = "";
      },
    });
    on(this.name, { input: () => void (this.sequence.name = this.name.value) });
    append(this.element, [
      h("header", {}, h("h2", { id: "sequence-title" }, "Sequence"),
        h("div", { class: "actions" }, button("Open…", () => file.click()), button("Save", () => this.save()), this.stopButton, this.runButton, file)),
      this.name,
      h("p", { class: "hint" }, "Steps that are sent one after the other, and what their answers must say. ",
        h("code", {}, "portolan send --sequence FILE"), " runs the saved file again."),
      this.list, h("div", { class: "row" }, button("Add the packet as a step", () => this.add(undefined))), this.problem, this.result,
    ]);
    this.render();
  }

  add(answer: Packet | undefined): void {
    const draft = this.handlers.draft();
    const step: SequenceStep = { name: `${String(draft.opcode ?? "octets").toUpperCase()} ${this.sequence.step.length + 1}`, send: structuredClone(draft) };
    if (answer) step.expect = expectationFrom(answer);
    this.sequence.step.push(step);
    this.render();
  }

  open(text: string): void {
    try {
      const sequence = JSON.parse(text) as Sequence;
      if (!Array.isArray(sequence.step)) throw new Error("it has no list of steps");
      this.load({ ...sequence, name: sequence.name || "Opened" });
    } catch (error) {
      this.problem.textContent = `This file is no sequence in JSON: ${(error as Error).message}`;
    }
  }

  load(sequence: Sequence): void {
    this.sequence = sequence;
    this.results = [];
    this.problem.textContent = "";
    this.result.textContent = "";
    this.render();
  }

  /** What the timeline says. */
  hear(entry: Entry): void {
    if (!this.isRunning) return;
    if (entry.kind === "step") {
      this.results[entry.number - 1] = entry.passed;
      this.render();
    } else if (entry.kind === "ended") {
      this.isRunning = false;
      const failed = this.results.filter((passed) => passed === false).length;
      this.result.textContent = failed === 0 ? `All ${this.results.length} steps were answered as expected.` : `${failed} of ${this.results.length} steps were not answered as expected.`;
      this.render();
    }
  }

  async run(): Promise<void> {
    this.problem.textContent = "";
    this.result.textContent = "Running…";
    this.results = [];
    this.isRunning = true;
    this.render();
    try {
      await api.run({ sequence: this.sequence }, this.handlers.target());
    } catch (error) {
      this.isRunning = false;
      this.result.textContent = "";
      this.problem.textContent = (error as Error).message;
      this.render();
    }
  }

  private save(): void {
    const url = URL.createObjectURL(new Blob([JSON.stringify(this.sequence, null, 2) + "\n"], { type: "application/json" }));
    const name = this.sequence.name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "sequence";
    h("a", { href: url, download: `${name}.json` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }

  private render(): void {
    this.name.value = this.sequence.name;
    this.runButton.disabled = this.sequence.step.length === 0 || this.isRunning;
    this.stopButton.disabled = !this.isRunning;
    replace(this.list, ...this.sequence.step.map((step, index) => this.item(step, index)));
  }

  private item(step: SequenceStep, index: number): HTMLElement {
    const steps = this.sequence.step;
    const move = (to: number): void => {
      const [moved] = steps.splice(index, 1);
      if (moved && to >= 0) steps.splice(to, 0, moved);
      this.results = [];
      this.render();
    };
    const name = on(h("input", { value: step.name, "aria-label": `Name of step ${index + 1}` }), { input: () => void (step.name = name.value) });
    const area = on(h("textarea", { rows: 3, spellcheck: "false", placeholder: "result-code = SUCCESS", "aria-label": `Expected of step ${index + 1}` }), {
      input: () => {
        const expect = expectationOf(area.value);
        if (expect === undefined) delete step.expect;
        else step.expect = expect;
      },
    });
    area.value = expectationText(step.expect);
    area.rows = Math.min(8, Math.max(2, area.value.split("\n").length));
    const passed = this.results[index];
    const state = passed === undefined ? "note" : passed ? "good" : "bad";
    return h("li", {},
      h("div", { class: "option-head" }, h("span", { class: `dot ${state}`, role: "img", "aria-label": { note: "not run", good: "as expected", bad: "not as expected" }[state] }), name,
        h("span", { class: "option-buttons" },
          step.send && button("Show", () => step.send && this.handlers.show(step.send), { "aria-label": `Compose from step ${index + 1}` }),
          button("↑", () => move(index - 1), { "aria-label": `Move step ${index + 1} up`, disabled: index === 0 }),
          button("↓", () => move(index + 1), { "aria-label": `Move step ${index + 1} down`, disabled: index === steps.length - 1 }),
          button("×", () => move(-1), { "aria-label": `Remove step ${index + 1}` }))),
      !step.send && h("p", { class: "hint" }, "Waits for what the server says unasked."), area);
  }
}
