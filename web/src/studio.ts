// SPDX-License-Identifier: BSD-2-Clause
//
// The page: a packet as a form and as octets, what happens to it, and sequences.
import { api, typed, type About, type Dissection, type Draft, type Preset, type Target } from "./api";
import { append, button, h, on, replace } from "./dom";
import { Form, normal, randomNonce } from "./form";
import { OctetView } from "./octets";
import { SequenceView } from "./sequence";
import { themeButton } from "./theme";
import { TimelineView } from "./timeline";

/** What is asked last is what counts; one request is under way at a time. */
class Latest {
  private isBusy = false;
  private waiting: (() => Promise<void>) | undefined;

  /** Whether something newer has been asked since the work under way began. */
  isOutdated(): boolean {
    return this.waiting !== undefined;
  }

  ask(work: () => Promise<void>): void {
    this.waiting = work;
    if (!this.isBusy) void this.next();
  }

  private async next(): Promise<void> {
    this.isBusy = true;
    while (this.waiting) {
      const work = this.waiting;
      this.waiting = undefined;
      await work();
    }
    this.isBusy = false;
  }
}

class Studio {
  private readonly latest = new Latest();
  private readonly form: Form;
  private readonly octets = new OctetView((octets) => this.octetsChanged(octets), (field) => this.form.focusField(field.name));
  private readonly sequence: SequenceView;
  private readonly timeline: TimelineView;
  private readonly target = { server: this.input("server", "default router"), port: this.input("server-port", "5351", "numeric"),
    from: this.input("internal-address", "this host's"), source: this.input("source-port", "any", "numeric") };
  private readonly retransmit = h("input", { type: "checkbox", id: "retransmit" });
  private readonly presets = h("dialog", { class: "presets", "aria-labelledby": "presets-title" });
  private readonly chosen = h("p", { class: "hint chosen", role: "status" });

  constructor(private readonly root: HTMLElement, private readonly about: About) {
    const send = button("Send", () => void this.send(), { class: "primary", "aria-keyshortcuts": "Control+Enter", title: "Ctrl+Enter" });
    this.form = new Form((draft) => this.draftChanged(draft), async (draft) => (await api.compose(this.addressed(draft))).octets, [
      button("Presets…", () => this.openPresets(), { "aria-keyshortcuts": "Control+K", title: "Ctrl+K" }),
      h("label", { class: "check", for: "retransmit", title: "As a client does: after 3 s, 6 s, 12 s … (RFC 6887 s8.1.1)" }, this.retransmit, "until answered"),
      send,
    ]);
    this.sequence = new SequenceView({ draft: () => this.form.current(), target: () => this.targetMembers(), show: (draft) => this.show(draft) });
    this.timeline = new TimelineView({
      reuse: (packet) => this.octetsChanged(packet.octets),
      expect: (answer) => this.latest.ask(async () => this.sequence.add(answer)),
      step: (entry) => this.sequence.hear(entry),
      stop: () => void api.stop(),
      clear: () => void api.clear(),
    });
    this.build();
    this.fillPresets();
    this.show({ opcode: "map", protocol: "tcp", "internal-port": 8080, lifetime: 7200, nonce: randomNonce() });
    this.timeline.follow();
  }

  /** Of the server: half a name is not looked up. */
  private input(id: string, placeholder: string, mode?: string): HTMLInputElement {
    return on(h("input", { id, placeholder, autocomplete: "off", spellcheck: "false", inputmode: mode }), { change: () => this.compose() });
  }

  private build(): void {
    const { about, target } = this;
    target.server.value = about.server;
    if (about["server-port"] !== 5351) target.port.value = String(about["server-port"]);
    target.from.value = about["internal-address"] ?? "";
    const labelled = (label: string, input: HTMLInputElement): HTMLElement => h("label", { for: input.id }, h("span", {}, label), input);
    const tabs = h("nav", { class: "tabs", "aria-label": "Views" });
    for (const [view, label] of [["compose", "Compose"], ["octets", "Octets"], ["timeline", "Timeline"], ["sequence", "Sequence"]] as const)
      tabs.append(button(label, () => this.choose(view), { "data-view": view }));
    replace(this.root,
      h("header", { class: "top" },
        h("h1", {}, h("span", { class: "mark", "aria-hidden": "true" }), "Portolan ", h("span", {}, "studio")),
        h("div", { class: "target", role: "group", "aria-label": "Server" }, labelled("Server", target.server), labelled("Port", target.port),
          labelled("From", target.from), labelled("Source port", target.source)),
        themeButton()),
      about.problem ? h("p", { class: "notice", role: "status" }, about.problem) : null,
      tabs,
      h("main", {}, h("div", { class: "column" }, this.form.element), h("div", { class: "column" }, this.octets.element),
        h("div", { class: "column" }, this.timeline.element, this.sequence.element)),
      h("footer", {}, `portolan ${about.version}`, about["chosen-server"] ? ` · asks ${about["chosen-server"]}` : "", " · nothing here is sent anywhere else"),
      this.presets);
    this.form.element.insertBefore(this.chosen, this.form.element.children[1] ?? null);
    this.choose("compose");
    document.addEventListener("keydown", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      if (event.key === "Enter") void this.send();
      else if (event.key === "k") this.openPresets();
      else return;
      event.preventDefault();
    });
  }

  /** On small screens one view is shown. */
  private choose(view: string): void {
    this.root.dataset.view = view;
    for (const tab of this.root.querySelectorAll<HTMLElement>(".tabs [data-view]"))
      tab.setAttribute("aria-current", tab.dataset.view === view ? "page" : "false");
  }

  private targetMembers(): Target {
    const members: Target = {};
    if (this.target.server.value.trim()) members.server = this.target.server.value.trim();
    if (this.target.port.value.trim()) members["server-port"] = typed(this.target.port.value.trim());
    if (this.target.from.value.trim()) members["internal-address"] = this.target.from.value.trim();
    return members;
  }

  /** The draft with the server's members; its own count more. */
  private addressed(draft: Draft): Draft {
    const members: Draft = { ...this.targetMembers() };
    if (this.target.source.value.trim()) members["source-port"] = typed(this.target.source.value.trim());
    return { ...members, ...draft };
  }

  private show(draft: Draft): void {
    this.form.show(normal(this.filled(draft)));
    this.compose();
  }

  /** A draft of a sequence's, with the variables that are known before it runs. */
  private filled(draft: Draft): Draft {
    const client = this.target.from.value.trim() || this.about.client;
    const server = this.about["server-address"];
    return JSON.parse(JSON.stringify(draft, (_key, value: unknown) =>
      typeof value === "string" ? value.replaceAll("${client}", client ?? "${client}").replaceAll("${server}", server ?? "${server}") : value)) as Draft;
  }

  private draftChanged(_draft: Draft): void {
    this.compose();
  }

  private compose(): void {
    this.latest.ask(async () => {
      try {
        const made = await api.compose(this.addressed(this.form.current()));
        if (this.latest.isOutdated()) return;
        this.octets.show(made);
        this.form.complain("");
      } catch (error) {
        this.form.complain((error as Error).message);
      }
    });
  }

  private octetsChanged(octets: string): void {
    this.latest.ask(async () => {
      try {
        const answer: Dissection & { draft: Draft } = await api.dissect(octets);
        // What has been typed meanwhile stays.
        if (this.latest.isOutdated()) return;
        this.octets.show(answer);
        this.form.show(answer.draft);
        this.form.complain("");
      } catch (error) {
        this.form.complain((error as Error).message);
      }
    });
  }

  private async send(): Promise<void> {
    try {
      await api.send(this.addressed(this.form.current()), this.retransmit.checked);
      this.form.complain("");
    } catch (error) {
      this.form.complain((error as Error).message);
    }
  }

  private openPresets(): void {
    if (this.presets.open) return;
    this.presets.showModal();
    this.presets.querySelector("input")?.select();
  }

  private fillPresets(): void {
    const list = h("ul", {});
    const filter = on(h("input", { type: "search", id: "preset-filter", placeholder: "Figure 23, PREFER_FAILURE, slides …", autocomplete: "off" }), {
      input: () => {
        const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
        for (const item of list.children) {
          const text = (item as HTMLElement).dataset.text ?? "";
          (item as HTMLElement).hidden = !words.every((word) => text.includes(word));
        }
      },
    });
    for (const preset of this.about.presets) list.append(this.presetItem(preset));
    append(this.presets, [
      h("header", {}, h("h2", { id: "presets-title" }, "Presets"), button("Close", () => this.presets.close())),
      h("label", { for: "preset-filter", class: "hint" }, "All figures of draft-boucadair-pcp-flow-examples-04, and the slides' packets"), filter, list,
    ]);
  }

  private presetItem(preset: Preset): HTMLElement {
    const use = (draft: Draft, name: string): void => {
      this.presets.close();
      this.choose("compose");
      this.chosen.textContent = `${preset.name}. ${name}${preset.before ? `. Before: ${preset.before}` : ""}`;
      this.show(draft);
    };
    const packets = preset.step.filter((step) => step.send !== undefined);
    const text = [preset.file, preset.name, preset.before ?? "", ...preset.step.map((step) => step.name)].join(" ").toLowerCase();
    const { file: _file, ...sequence } = preset;
    return h("li", { "data-preset": preset.file, "data-text": text },
      h("strong", {}, preset.name), preset.before && h("p", { class: "hint" }, "Before: ", preset.before), preset.about && h("p", { class: "hint" }, preset.about),
      h("div", { class: "row" },
        ...packets.map((step) => button(step.name, () => step.send && use(step.send, step.name))),
        button(preset.step.length === 1 ? "As a sequence" : "All steps as a sequence", () => {
          this.presets.close();
          this.choose("sequence");
          this.sequence.load(structuredClone(sequence));
          this.sequence.element.scrollIntoView({ block: "nearest" });
        }, { class: "quiet" })));
  }
}

const root = document.getElementById("app");
if (root) {
  api.about().then((about) => new Studio(root, about)).catch((error: unknown) => {
    replace(root, h("p", { class: "notice", role: "alert" }, (error as Error).message));
  });
}
