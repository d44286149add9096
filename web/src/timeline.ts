// SPDX-License-Identifier: BSD-2-Clause
//
// What went and came, newest first: a request with its answers is one exchange. An exchange that is opened shows both
// packets side by side, and where they differ.
import type { Entry, Field, Note, Packet, StepResult } from "./api";
import { append, button, citation, h, on, replace } from "./dom";

interface Exchange {
  request: Packet;
  repeats: Packet[];
  answers: Packet[];
}

/** Of PCP messages (RFC 6887 s7.1, s7.2). */
const headerOctets = 24;
const clock = (time: number): string => new Date(time).toISOString().slice(11, 23);
const isPacket = (entry: Entry): entry is Packet => entry.kind === "sent" || entry.kind === "received" || entry.kind === "announced";

export function summary(fields: Field[]): string {
  return fields[0]?.name ?? "";
}

function valueOf(packet: Packet, name: string): string | undefined {
  return packet.fields.find((field) => field.name === name)?.value;
}

/** "tcp 8080 → 192.0.2.1:15200", as far as the packets say it. */
function gist(request: Packet, answer: Packet | undefined): string {
  const internal = valueOf(request, "Internal Port");
  if (internal === undefined) return "";
  const protocol = /\((\w+)/.exec(valueOf(request, "Protocol") ?? "")?.[1] ?? "";
  const port = answer && valueOf(answer, "Assigned External Port");
  const address = answer && valueOf(answer, "Assigned External IP Address")?.split(" ")[0];
  return `${protocol} ${internal}${port && answer?.word?.endsWith("SUCCESS") ? ` → ${address} : ${port}` : ""}`;
}

/** Both packets' fields by their place; what is at the same place is in one row. */
export function sideBySide(request: Packet | undefined, answer: Packet | undefined): HTMLElement {
  const body = h("tbody", {});
  const leaves = (packet: Packet | undefined): Field[] => (packet?.fields ?? []).filter((field) => field.kind !== "heading");
  const octets = (packet: Packet | undefined, field: Field | undefined): string =>
    field && packet ? packet.octets.slice(2 * field.offset, 2 * (field.offset + field.size)) : "";
  const left = leaves(request);
  const right = leaves(answer);
  const places = [...new Set([...left, ...right].map((field) => field.offset))].sort((one, other) => one - other);
  for (const place of places) {
    const ours = left.filter((field) => field.offset === place);
    const theirs = right.filter((field) => field.offset === place);
    for (let row = 0; row < Math.max(ours.length, theirs.length); ++row) {
      const mine = ours[row];
      const other = theirs[row];
      const differs = request !== undefined && answer !== undefined && octets(request, mine) !== octets(answer, other);
      const either = mine ?? other;
      const cell = (field: Field | undefined): HTMLElement => h("td", { class: field?.kind },
        field && h("span", { class: "name" }, field.name === "" ? "Not decoded" : field.name),
        field && h("span", { class: "value" }, field.value));
      body.append(h("tr", { class: differs ? (place < headerOctets ? "differs header" : "differs") : undefined },
        h("td", { class: "place" }, either?.kind === "fault" ? "!" : String(place)),
        request && cell(mine), answer && cell(other),
        h("td", { class: "source" }, citation(other?.source ?? mine?.source))));
    }
  }
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Both packets field by field" },
    h("table", { class: "both" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "At"),
        request && h("th", { scope: "col" }, summary(request.fields)), answer && h("th", { scope: "col" }, summary(answer.fields)),
        h("th", { scope: "col" }, "Section"))),
      body));
}

export class TimelineView {
  readonly element = h("section", { class: "panel timeline", "aria-labelledby": "timeline-title" });
  private readonly list = h("ol", { class: "exchanges", "aria-label": "Exchanges, newest first" });
  private readonly state = h("span", { class: "state", role: "status" });
  private readonly exchanges = new Map<number, Exchange>();
  private readonly items = new Map<number, HTMLElement>();
  private readonly hint = h("p", { class: "empty" }, "Nothing yet. Send a packet, and what goes and comes appears here: answers, retransmissions, updates that nobody asked for, announcements.");
  private last = 0;

  constructor(private readonly handlers: { reuse: (packet: Packet) => void; expect: (packet: Packet) => void; step: (entry: Entry) => void; clear: () => void }) {
    const exportLink = (format: string, label: string): HTMLElement => h("a", { class: "button", href: `/api/export?format=${format}`, download: true }, label);
    append(this.element, [
      h("header", {}, h("h2", { id: "timeline-title" }, "Timeline"), this.state,
        h("div", { class: "actions" }, exportLink("pcap", "pcap"), exportLink("json", "JSON"), exportLink("test", "C++ test"),
          button("Clear", () => this.handlers.clear()))),
      this.hint, this.list,
    ]);
  }

  follow(): void {
    const source = new EventSource(`/api/timeline?after=${this.last}`);
    source.onopen = () => this.say("live", "");
    source.onerror = () => this.say("not connected", "off");
    source.onmessage = (message) => this.take(JSON.parse(String(message.data)) as Entry);
    source.addEventListener("cleared", () => {
      this.exchanges.clear();
      this.items.clear();
      replace(this.list);
      this.hint.hidden = false;
    });
  }

  private say(text: string, kind: string): void {
    this.state.textContent = text;
    this.state.dataset.kind = kind;
  }

  private take(entry: Entry): void {
    if (entry.id <= this.last) return;
    this.last = entry.id;
    this.hint.hidden = true;
    this.handlers.step(entry);
    if (isPacket(entry)) this.packet(entry);
    else if (entry.kind === "step") this.list.prepend(this.stepItem(entry));
    else if (entry.kind !== "ended") this.list.prepend(this.noteItem(entry));
    while (this.list.childElementCount > 500) this.list.lastElementChild?.remove();
  }

  private packet(packet: Packet): void {
    const exchange = packet["belongs-to"] === undefined ? undefined : this.exchanges.get(packet["belongs-to"]);
    if (packet.kind === "sent" && !exchange) {
      const made: Exchange = { request: packet, repeats: [], answers: [] };
      this.exchanges.set(packet.id, made);
      const item = this.exchangeItem(made);
      this.items.set(packet.id, item);
      this.list.prepend(item);
    } else if (exchange) {
      (packet.kind === "sent" ? exchange.repeats : exchange.answers).push(packet);
      const old = this.items.get(exchange.request.id);
      const item = this.exchangeItem(exchange, old?.querySelector("details")?.open);
      this.items.set(exchange.request.id, item);
      old?.replaceWith(item);
    } else {
      this.list.prepend(this.unasked(packet));
    }
  }

  private card(kind: string, time: number, title: string, detail: string, more: () => HTMLElement, open = false): HTMLElement {
    const details = h("details", { open });
    const head = h("summary", {}, h("span", { class: `dot ${kind}` }), h("strong", {}, title), h("span", { class: "detail" }, detail),
      h("time", {}, clock(time)));
    details.append(head);
    const fill = (): void => {
      if (details.open && details.childElementCount === 1) details.append(more());
    };
    on(details, { toggle: fill });
    fill();
    return h("li", { "data-kind": kind }, details);
  }

  private exchangeItem(exchange: Exchange, open = false): HTMLElement {
    const { request, answers, repeats } = exchange;
    const answer = answers[0];
    const isGood = answer?.word?.toUpperCase().endsWith("SUCCESS");
    const word = answer ? `${answer.word ?? ""}` : `${summary(request.fields)}: no answer yet`;
    const facts = [gist(request, answers[answers.length - 1]), answer?.latency !== undefined ? `${answer.latency.toFixed(2)} ms` : "",
      repeats.length > 0 ? `sent ${repeats.length + 1} times` : "", answers.length > 1 ? `${answers.length} answers` : ""];
    return this.card(answer ? (isGood ? "good" : "bad") : "open", request.time, word, facts.filter(Boolean).join("  ·  "), () =>
      h("div", { class: "inside" },
        h("p", { class: "hint" }, `${request.source} to ${request.destination}`),
        sideBySide(request, answer),
        ...answers.slice(1).map((each) => sideBySide(undefined, each)),
        h("div", { class: "row" }, button("Compose from this", () => this.handlers.reuse(request)),
          answer && button("Add as step, expecting this answer", () => {
            this.handlers.reuse(request);
            this.handlers.expect(answer);
          }))), open);
  }

  private unasked(packet: Packet): HTMLElement {
    const title = packet.kind === "announced" ? `${packet.word ?? ""}, to all hosts` : `${packet.word ?? ""}, unasked`;
    const facts = [gist(packet, packet), `from ${packet.source}`].filter(Boolean).join("  ·  ");
    return this.card("unasked", packet.time, title, facts, () => h("div", { class: "inside" }, sideBySide(undefined, packet)));
  }

  private stepItem(step: StepResult): HTMLElement {
    return h("li", { class: "line" }, h("span", { class: `dot ${step.passed ? "good" : "bad"}` }),
      h("strong", {}, `${step.passed ? "As expected" : "Not as expected"}`), h("span", { class: "detail" }, `${step.name}: ${step.passed ? step.answer : step.differences.join("; ")}`),
      h("time", {}, clock(step.time)));
  }

  private noteItem(note: Note): HTMLElement {
    return h("li", { class: "line" }, h("span", { class: `dot ${note.kind === "trouble" ? "bad" : "note"}` }), h("span", { class: "detail" }, note.text),
      h("time", {}, clock(note.time)));
  }
}
