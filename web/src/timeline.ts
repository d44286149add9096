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
  item: HTMLElement;
}

/** Of PCP messages (RFC 6887 s7.1, s7.2). */
const headerOctets = 24;
const itemsMax = 500;
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

/** One field of the request, and the answer's beside it. */
type Row = [Field | undefined, Field | undefined];

/** What a field says in requests and answers alike: "Requested Lifetime" and "Lifetime" are one. */
const meaning = (field: Field): string => field.name.replace(/^(Requested|Suggested|Assigned|Mapped) /, "");
const isPcp = (packet: Packet): boolean => /^0[12]/.test(packet.octets);

function rowsByPlace(left: Field[], right: Field[]): Row[] {
  const rows: Row[] = [];
  for (const place of new Set([...left, ...right].map((field) => field.offset))) {
    const ours = left.filter((field) => field.offset === place);
    const theirs = right.filter((field) => field.offset === place);
    for (let row = 0; row < Math.max(ours.length, theirs.length); ++row) rows.push([ours[row], theirs[row]]);
  }
  return rows;
}

/** Of messages that are laid out differently, as requests and answers of NAT-PMP are. */
function rowsByMeaning(left: Field[], right: Field[]): Row[] {
  const rest = [...right];
  const rows = left.map((mine): Row => {
    const at = rest.findIndex((other) => meaning(other) === meaning(mine));
    return [mine, at < 0 ? undefined : rest.splice(at, 1)[0]];
  });
  return [...rows, ...rest.map((other): Row => [undefined, other])];
}

function octetsOf(packet: Packet, field: Field): string {
  return packet.octets.slice(2 * field.offset, 2 * (field.offset + field.size));
}

/** Whether the answer says something else than the request. Headers have fields that only one of them has, and opcodes a bit that tells them apart. */
function differs(request: Packet, mine: Field | undefined, answer: Packet, other: Field | undefined): boolean {
  if (!mine || !other || meaning(mine) !== meaning(other)) return isPcp(answer) && ((mine ?? other)?.offset ?? 0) >= headerOctets;
  if (mine.name === "Opcode" || (mine.kind === "reserved" && mine.size !== other.size)) return false;
  return octetsOf(request, mine) !== octetsOf(answer, other);
}

/** Both packets' fields; what is at the same place, or says the same, is in one row. */
export function sideBySide(request: Packet | undefined, answer: Packet | undefined): HTMLElement {
  const body = h("tbody", {});
  const leaves = (packet: Packet | undefined): Field[] => (packet?.fields ?? []).filter((field) => field.kind !== "heading");
  const isAlike = !request || !answer || (isPcp(request) && isPcp(answer));
  const rows = (isAlike ? rowsByPlace : rowsByMeaning)(leaves(request), leaves(answer));
  const place = ([mine, other]: Row): number => (other ?? mine)?.offset ?? 0;
  for (const [mine, other] of rows.sort((one, two) => place(one) - place(two))) {
    const cell = (field: Field | undefined): HTMLElement => h("td", { class: field?.kind },
      field && h("span", { class: "name" }, field.name === "" ? "Not decoded" : field.name),
      field && h("span", { class: "value" }, field.value));
    const fields = [mine, other].filter((field): field is Field => field !== undefined);
    const places = fields.map((field) => (field.kind === "fault" ? "!" : String(field.offset)));
    const sources = fields.map((field) => field.source ?? "");
    body.append(h("tr", { class: request && answer && differs(request, mine, answer, other) ? "differs" : undefined },
      h("td", { class: "place" }, [...new Set(places)].join(", ")),
      request && cell(mine), answer && cell(other),
      h("td", { class: "source" }, ...[...new Set(sources)].map((source) => h("div", {}, citation(source))))));
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
  /** By the request's number, as it was sent first. */
  private readonly exchanges = new Map<number, Exchange>();
  private readonly hint = h("p", { class: "empty" }, "Nothing yet. Send a packet, and what goes and comes appears here: answers, retransmissions, updates that nobody asked for, announcements.");
  private last = 0;

  constructor(private readonly handlers: { reuse: (packet: Packet) => void; expect: (packet: Packet) => void; step: (entry: Entry) => void; stop: () => void; clear: () => void }) {
    const exportLink = (format: string, label: string): HTMLElement => h("a", { class: "button", href: `/api/export?format=${format}`, download: true }, label);
    append(this.element, [
      h("header", {}, h("h2", { id: "timeline-title" }, "Timeline"), this.state, h("span", { class: "hint" }, "times in UTC"),
        h("div", { class: "actions" }, exportLink("pcap", "pcap"), exportLink("json", "JSON"), exportLink("test", "C++ test"),
          button("Stop sending", () => this.handlers.stop(), { title: "Ends what is sent until it is answered, and the sequence that runs" }),
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
    while (this.list.childElementCount > itemsMax) this.dropOldest();
  }

  private dropOldest(): void {
    const item = this.list.lastElementChild as HTMLElement;
    this.exchanges.delete(Number(item.dataset.exchange));
    item.remove();
  }

  private packet(packet: Packet): void {
    const number = packet["belongs-to"] ?? packet.id;
    const exchange = this.exchanges.get(number);
    if (exchange) {
      (packet.kind === "sent" ? exchange.repeats : exchange.answers).push(packet);
      const old = exchange.item;
      const hadFocus = old.contains(document.activeElement);
      exchange.item = this.exchangeItem(number, exchange, old.querySelector("details")?.open);
      old.replaceWith(exchange.item);
      if (hadFocus) exchange.item.querySelector("summary")?.focus();
    } else if (packet.kind === "sent") {
      const made: Exchange = { request: packet, repeats: [], answers: [], item: h("li") };
      made.item = this.exchangeItem(number, made);
      this.exchanges.set(number, made);
      this.list.prepend(made.item);
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

  private exchangeItem(number: number, exchange: Exchange, open = false): HTMLElement {
    const { request, answers, repeats } = exchange;
    const answer = answers[0];
    const isGood = answer?.word?.toUpperCase().endsWith("SUCCESS");
    const word = answer ? `${answer.word ?? ""}` : `${summary(request.fields)}: no answer yet`;
    const facts = [gist(request, answers[answers.length - 1]), answer?.latency !== undefined ? `${answer.latency.toFixed(2)} ms` : "",
      repeats.length > 0 ? `sent ${repeats.length + 1} times` : "", answers.length > 1 ? `${answers.length} answers` : ""];
    const item = this.card(answer ? (isGood ? "good" : "bad") : "open", request.time, word, facts.filter(Boolean).join("  ·  "), () =>
      h("div", { class: "inside" },
        h("p", { class: "hint" }, `${request.source} to ${request.destination}`),
        sideBySide(request, answer),
        ...answers.slice(1).map((each) => sideBySide(undefined, each)),
        h("div", { class: "row" }, button("Compose from this", () => this.handlers.reuse(request)),
          answer && button("Add as step, expecting this answer", () => {
            this.handlers.reuse(request);
            this.handlers.expect(answer);
          }))), open);
    item.dataset.exchange = String(number);
    return item;
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
