// SPDX-License-Identifier: BSD-2-Clause
//
// Steps with what is expected of their answers: made here, saved as a file, and run again by portolan send --sequence.
import { api, typed, type Draft, type Entry, type Packet, type Sequence, type SequenceStep, type Target } from "./api";
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

/** "port = assigned-external-port, nonce = mapping-nonce". */
export function savedText(save: SequenceStep["save"]): string {
  return Object.entries(save ?? {}).map(([variable, field]) => `${variable} = ${field}`).join(", ");
}

export function savedOf(text: string): SequenceStep["save"] {
  const pairs = text.split(",").map((pair) => pair.split("=").map((word) => word.trim())).filter(([variable]) => variable);
  return pairs.length === 0 ? undefined : Object.fromEntries(pairs.map(([variable = "", field = ""]) => [variable, field]));
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
  private readonly before = h("p", { class: "hint" });
  private readonly name = h("input", { id: "sequence-name", "aria-label": "Name of the sequence", autocomplete: "off" });
  private readonly problem = h("p", { class: "problem", role: "alert" });
  private readonly result = h("p", { class: "result", role: "status" });
  private results: (boolean | undefined)[] = [];
  private isRunning = false;
  private readonly runButton = button("Run", () => void this.run(), { class: "primary" });
  private readonly stopButton = button("Stop", () => void api.stop());

  constructor(private readonly handlers: { draft: () => Draft; target: () => Target; show: (draft: Draft) => void }) {
    const file = on(h("input", { type: "file", accept: ".json,.toml,application/json", hidden: true, "aria-label": "Sequence file" }), {
      change: () => {
        const chosen = file.files?.[0];
        void chosen?.text().then((text) => this.open(chosen.name, text));
        file.value = "";
      },
    });
    on(this.name, { input: () => void (this.sequence.name = this.name.value) });
    append(this.element, [
      h("header", {}, h("h2", { id: "sequence-title" }, "Sequence"),
        h("div", { class: "actions" }, button("Open…", () => file.click()), button("Save", () => this.save()), this.stopButton, this.runButton, file)),
      this.name, this.before,
      h("p", { class: "hint" }, "Steps that are sent one after the other, and what their answers must say. ",
        h("code", {}, "portolan send --sequence FILE"), " runs the saved file again."),
      this.list, h("div", { class: "row" }, button("Add the packet as a step", () => this.add(undefined)), button("Add a step that listens", () => this.listen())), this.problem, this.result,
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

  /** A step for what the server says unasked. */
  private listen(): void {
    this.sequence.step.push({ name: `Heard ${this.sequence.step.length + 1}`, expect: { "result-code": "SUCCESS" } });
    this.render();
  }

  private async open(file: string, text: string): Promise<void> {
    try {
      const sequence = await api.read(text, file.endsWith(".toml"));
      this.load({ ...sequence, name: sequence.name || file });
    } catch (error) {
      const remedy = /\.(json|toml)$/.test(file) ? "" : ". A file in TOML is to be called .toml, any other is taken for JSON.";
      this.problem.textContent = `${file}: ${(error as Error).message}${remedy}`;
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
      if (entry.stopped) this.result.textContent = `Stopped after ${this.results.length} of ${this.sequence.step.length} steps.`;
      else this.result.textContent = failed === 0 ? `All ${this.results.length} steps were answered as expected.` : `${failed} of ${this.results.length} steps were not answered as expected.`;
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
    this.before.textContent = this.sequence.before ? `Before: ${this.sequence.before}` : "";
    this.runButton.disabled = this.sequence.step.length === 0 || this.isRunning;
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
      !step.send && h("p", { class: "hint" }, "Waits for what the server says unasked."), area,
      h("div", { class: "row" }, button("Replace by the packet", () => {
        step.send = structuredClone(this.handlers.draft());
        this.render();
      }, { "aria-label": `Replace step ${index + 1} by the packet` })),
      this.rest(step, index));
  }

  /** What a step may have besides. */
  private rest(step: SequenceStep, index: number): HTMLElement {
    const seconds = (key: "wait" | "timeout", label: string, placeholder: string): HTMLElement => {
      const input = on(h("input", { class: "short", value: step[key], placeholder, inputmode: "numeric", "aria-label": `${label}, step ${index + 1}` }), {
        input: () => {
          if (input.value.trim() === "") delete step[key];
          else step[key] = typed(input.value.trim());
        },
      });
      return h("label", {}, h("span", {}, label), input);
    };
    const saved = on(h("input", { value: savedText(step.save), placeholder: "port = assigned-external-port", "aria-label": `Saved of step ${index + 1}`, spellcheck: "false" }), {
      input: () => {
        const save = savedOf(saved.value);
        if (save === undefined) delete step.save;
        else step.save = save;
      },
    });
    return h("details", { open: Boolean(step.wait ?? step.timeout ?? step.save) }, h("summary", {}, "Times, and what is saved"),
      h("div", { class: "row parts" }, seconds("wait", "Wait before, s", "0"), seconds("timeout", "Timeout, s", step.expect === "nothing" ? "3" : "10"),
        h("label", {}, h("span", {}, "Saved for later steps, as ${…}"), saved)));
  }
}
