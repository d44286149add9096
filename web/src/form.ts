// SPDX-License-Identifier: BSD-2-Clause
//
// The packet as a form. It holds a draft, shows it, and says when it has been changed.
import { typed, type Draft, type OptionDraft } from "./api";
import { append, button, citation, h, on, replace } from "./dom";
import { forms, opcodes, optionWord, optionWords, type OptionWord, type Word } from "./words";

export function randomNonce(): string {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((octet) => octet.toString(16).padStart(2, "0")).join("");
}

/** The draft with all options in its list, in their order. */
export function normal(draft: Draft): Draft {
  const result: Draft = {};
  const options: OptionDraft[] = [];
  for (const [key, value] of Object.entries(draft)) {
    if (key === "options") options.push(...(value as OptionDraft[]));
    else if (optionWord(key)) for (const each of Array.isArray(value) ? value : [value]) options.push({ [key]: each as string });
    else if (key === "set") result.set = Array.isArray(value) ? (value as string[]) : [String(value)];
    else result[key] = value;
  }
  if (options.length > 0) result.options = options;
  return result;
}

export function kindOf(draft: Draft): string {
  if (draft.raw !== undefined) return "raw";
  const opcode = String(draft.opcode ?? "map");
  return opcodes.some((each) => each.value === opcode) ? opcode : "number";
}

function valueParts(word: OptionWord, value: string): string[] {
  if (word.key === "option") {
    const colon = value.indexOf(":");
    const [code = "", length = ""] = (colon < 0 ? value : value.slice(0, colon)).split("/");
    return [code, length, colon < 0 ? "" : value.slice(colon + 1)];
  }
  return word.parts.length > 1 ? value.split(",") : [value];
}

/** Members that stay when another opcode with them is chosen. A lifetime of ANNOUNCE is not a mapping's. */
function lasting(kind: string): string[] {
  const keys = (forms[kind] ?? []).map((word) => word.key).filter((key) => kind !== "announce" || key !== "lifetime");
  return kind === "raw" || kind.startsWith("nat-pmp") ? keys : [...keys, "options"];
}

export class Form {
  readonly element = h("section", { class: "panel compose", "aria-labelledby": "compose-title" });
  private draft: Draft = {};
  /** Of the opcodes chosen before: what lasts, and what is wrong with each. */
  private kept: Draft = {};
  private wrong = new Map<string, { set?: string[] | undefined; size?: number | undefined }>();
  private number = "99";
  private readonly body = h("div", { class: "fields" });
  private readonly kinds = h("div", { class: "kinds", role: "radiogroup", "aria-label": "Opcode" });
  private readonly help = h("p", { class: "hint" });
  private readonly problem = h("p", { class: "problem", role: "alert", id: "compose-problem" });

  /** `octetsOf` tells what a draft is composed to. */
  constructor(private readonly changed: (draft: Draft) => void, private readonly octetsOf: (draft: Draft) => Promise<string>, actions: Node[]) {
    append(this.element, [
      h("header", {}, h("h2", { id: "compose-title" }, "Compose"), h("div", { class: "actions" }, ...actions)),
      this.kinds, this.help, this.body, this.problem,
    ]);
    for (const each of opcodes) {
      const input = on(h("input", { type: "radio", name: "opcode", value: each.value }), { change: () => this.choose(each.value) });
      this.kinds.append(h("label", {}, input, h("span", {}, each.label)));
    }
  }

  show(draft: Draft): void {
    this.draft = normal(draft);
    this.kept = {};
    this.wrong.clear();
    this.render();
  }

  current(): Draft {
    return this.draft;
  }

  complain(text: string): void {
    this.problem.textContent = text;
  }

  /** Moves to the control of a dissection's field, if it has one. */
  focusField(name: string): void {
    const input = this.body.querySelector<HTMLElement>(`[data-field="${CSS.escape(name)}"]`);
    input?.scrollIntoView({ block: "nearest" });
    input?.classList.add("pointed");
    setTimeout(() => input?.classList.remove("pointed"), 900);
  }

  private choose(kind: string): void {
    const before = this.draft;
    const last = kindOf(before);
    for (const key of lasting(last)) this.kept[key] = before[key];
    this.wrong.set(last, { set: before.set, size: before.size });
    if (last === "number") this.number = String(before.opcode);
    this.draft = kind === "raw" ? { raw: "" } : { opcode: kind === "number" ? this.number : kind };
    for (const [key, value] of Object.entries({ ...this.kept, ...this.wrong.get(kind) }))
      if (value !== undefined && (key === "set" || key === "size" || lasting(kind).includes(key))) this.draft[key] = value;
    if ((kind === "map" || kind === "peer") && !this.draft.nonce) this.draft.nonce = randomNonce();
    this.render();
    if (kind === "raw") void this.takeOctets(before);
    else this.changed(this.draft);
  }

  /** The packet as it was, as octets. */
  private async takeOctets(before: Draft): Promise<void> {
    const draft = this.draft;
    const octets = await this.octetsOf(before).catch(() => "");
    // What has been typed or chosen meanwhile stays.
    if (this.draft !== draft || draft.raw !== "") return;
    draft.raw = octets;
    this.render();
    this.changed(draft);
  }

  private put(key: string, value: unknown): void {
    if (value === "" || value === undefined) delete this.draft[key];
    else this.draft[key] = value;
    this.changed(this.draft);
  }

  private render(): void {
    const kind = kindOf(this.draft);
    for (const input of this.kinds.querySelectorAll("input")) input.checked = input.value === kind;
    this.help.textContent = opcodes.find((each) => each.value === kind)?.help ?? "";
    replace(this.body);
    if (kind === "number") this.body.append(this.numberField());
    if (kind === "raw") this.body.append(this.rawField());
    for (const word of forms[kind] ?? []) this.body.append(this.field(word));
    if (kind !== "raw" && !kind.startsWith("nat-pmp")) this.body.append(this.options());
    if (kind !== "raw") this.body.append(this.malformations());
  }

  private field(word: Word): HTMLElement {
    const value = this.draft[word.key];
    const id = `field-${word.key}`;
    const input = on(
      h("input", {
        id, value: value === undefined ? "" : String(value), placeholder: word.placeholder, autocomplete: "off", spellcheck: "false",
        inputmode: word.number ? "numeric" : undefined, "aria-describedby": `${id}-help`, "data-field": word.field,
        list: word.choices ? `${id}-choices` : undefined,
      }),
      { input: () => this.put(word.key, word.number ? typed(input.value.trim()) : input.value.trim()) },
    );
    const control = word.key === "nonce"
      ? h("div", { class: "with-button" }, input, button("New", () => {
          input.value = randomNonce();
          this.put("nonce", input.value);
        }, { "aria-label": "New nonce" }))
      : input;
    return h("div", { class: word.wide ? "field wide" : "field" }, h("label", { for: id }, word.label), control,
      h("p", { id: `${id}-help`, class: "hint" }, word.help, " ", citation(word.source)),
      word.choices && h("datalist", { id: `${id}-choices` }, ...word.choices.map((each) => h("option", { value: each }))));
  }

  private numberField(): HTMLElement {
    const input = on(h("input", { id: "field-number", value: String(this.draft.opcode ?? ""), inputmode: "numeric", "data-field": "Opcode" }),
      { input: () => this.put("opcode", input.value.trim() || "99") });
    return h("div", { class: "field" }, h("label", { for: "field-number" }, "Opcode"), input,
      h("p", { class: "hint" }, "0 to 127. ", citation("RFC 6887 s19.2")));
  }

  private rawField(): HTMLElement {
    const area = on(h("textarea", { id: "field-raw", rows: 6, spellcheck: "false", "aria-describedby": "field-raw-help" }), {
      input: () => {
        this.draft.raw = area.value.replace(/[\s:]/g, "");
        this.changed(this.draft);
      },
    });
    area.value = (this.draft.raw ?? "").replace(/(.{2})/g, "$1 ").trim();
    return h("div", { class: "field wide" }, h("label", { for: "field-raw" }, "Octets"), area,
      h("p", { id: "field-raw-help", class: "hint" }, "Hexadecimal digits; blanks and colons are left out."));
  }

  private options(): HTMLElement {
    const list = h("ol", { class: "options", "aria-label": "Options in their order" });
    const all = this.draft.options ?? [];
    all.forEach((option, index) => list.append(this.option(option, index, all)));
    const choice = h("select", { id: "add-option", "aria-label": "Option to add" },
      ...optionWords.map((word) => h("option", { value: word.key }, word.label)));
    const add = button("Add option", () => {
      const word = optionWord(choice.value);
      if (!word) return;
      this.draft.options = [...(this.draft.options ?? []), { [word.key]: word.initial }];
      this.render();
      this.changed(this.draft);
      this.body.querySelector<HTMLElement>(".options > li:last-child input, .options > li:last-child button")?.focus();
    });
    return h("fieldset", { class: "wide" }, h("legend", {}, "Options"), list, h("div", { class: "row" }, choice, add));
  }

  private option(option: OptionDraft, index: number, all: OptionDraft[]): HTMLElement {
    const key = Object.keys(option)[0] ?? "option";
    const word = optionWord(key);
    const move = (to: number): void => {
      const [moved] = all.splice(index, 1);
      if (moved && to >= 0) all.splice(to, 0, moved);
      if (all.length === 0) delete this.draft.options;
      this.render();
      this.changed(this.draft);
    };
    const name = word?.label ?? key;
    return h("li", {},
      h("div", { class: "option-head" }, h("strong", {}, name), h("span", { class: "hint" }, word?.help ?? "", " ", citation(word?.source)),
        h("span", { class: "option-buttons" },
          button("↑", () => move(index - 1), { "aria-label": `Move ${name} up`, disabled: index === 0 }),
          button("↓", () => move(index + 1), { "aria-label": `Move ${name} down`, disabled: index === all.length - 1 }),
          button("×", () => move(-1), { "aria-label": `Remove ${name}` }))),
      word && word.parts.length > 0 && this.optionParts(word, option, key));
  }

  private optionParts(word: OptionWord, option: OptionDraft, key: string): HTMLElement {
    const values = valueParts(word, String(option[key]));
    const inputs = word.parts.map((part, index) => {
      const given = values[index] ?? "";
      return part.flag
        ? h("input", { type: "checkbox", checked: given === part.flag })
        : h("input", { value: given, placeholder: part.placeholder, class: part.width, spellcheck: "false", autocomplete: "off" });
    });
    const collect = (): void => {
      let value = "";
      word.parts.forEach((part, index) => {
        const input = inputs[index];
        const text = part.flag ? (input?.checked ? part.flag : "") : (input?.value ?? "");
        if (text !== "") value += (value === "" ? "" : (part.separator ?? "")) + text;
      });
      option[key] = value;
      this.changed(this.draft);
    };
    for (const input of inputs) on(input, { input: collect });
    return h("div", { class: "row parts" }, ...word.parts.map((part, index) => h("label", {}, h("span", {}, part.label), inputs[index])));
  }

  private malformations(): HTMLElement {
    const edits = on(h("input", { id: "field-set", value: (this.draft.set ?? []).join(" "), placeholder: "2=ffff 30=00", spellcheck: "false" }),
      { input: () => this.put("set", edits.value.trim() === "" ? undefined : edits.value.trim().split(/\s+/)) });
    const size = on(h("input", { id: "field-size", value: this.draft.size ?? "", placeholder: "as it is", inputmode: "numeric" }),
      { input: () => this.put("size", typed(size.value.trim())) });
    return h("details", { class: "wide", open: Boolean(this.draft.set ?? this.draft.size) }, h("summary", {}, "Make it wrong"),
      h("div", { class: "fields" },
        h("div", { class: "field" }, h("label", { for: "field-set" }, "Changed octets"), edits,
          h("p", { class: "hint" }, "OFFSET=HEX; also behind the end. Octets edited by hand come here.")),
        h("div", { class: "field" }, h("label", { for: "field-size" }, "Size"), size,
          h("p", { class: "hint" }, "Cut to, or filled up with zeros to so many octets."))));
  }
}
