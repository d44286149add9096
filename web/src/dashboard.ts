// SPDX-License-Identifier: BSD-2-Clause
//
// For operators: what the server does, as it does it.
import { button, h, on, replace } from "./dom";
import { ApiError, Management, type Row } from "./management";
import { Plot } from "./plots";
import { themeButton } from "./theme";

const interval = 2000;
const rowsMax = 200;
const eventsMax = 200;

function duration(seconds: number | undefined): string {
  if (seconds === undefined) return "";
  const units: [number, string][] = [[86400, "d"], [3600, "h"], [60, "min"]];
  for (const [size, unit] of units) if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${unit}`;
  return `${seconds} s`;
}

const internal = (row: Row): string => endpoint(row["internal-src-address"], row["internal-src-port"]);
const external = (row: Row): string => endpoint(row["external-src-address"], row["external-src-port"]);
function endpoint(address: string | undefined, port: number | undefined): string {
  if (address === undefined) return "";
  return port === undefined ? address : address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** What a search asks the server for: an address or prefix, a port, a protocol. */
export function filterOf(text: string): Record<string, string> {
  const filter: Record<string, string> = {};
  for (const word of text.trim().toLowerCase().split(/\s+/).filter(Boolean)) {
    if (/^\d+$/.test(word)) filter["internal-src-port"] = word;
    else if (/^(tcp|udp|sctp)$/.test(word)) filter["transport-protocol"] = word;
    else filter["internal-src-address"] = word;
  }
  return filter;
}

class Dashboard {
  private readonly tiles = h("div", { class: "tiles" });
  private readonly answers = new Plot("Answers by result code", "/s");
  private readonly mappings = new Plot("Mappings", "", ["mappings", "ports", "subscribers"]);
  private readonly pool = new Plot("Use of the ports allowed", "%", ["used"]);
  private readonly mappingRows = h("tbody", {});
  private readonly userRows = h("tbody", {});
  private readonly events = h("ol", { class: "events", "aria-label": "Events, newest first" });
  private readonly state = h("span", { class: "state", role: "status" });
  private readonly problem = h("p", { class: "problem", role: "alert" });
  private readonly search = h("input", { type: "search", placeholder: "address, prefix, port, tcp …", "aria-label": "Search mappings", autocomplete: "off" });
  private readonly dialog = h("dialog", { class: "ask" });
  private counted = new Map<string, number>();
  private countedAt = 0;
  private last: number | undefined;
  private isListWanted = false;

  constructor(root: HTMLElement, private readonly api: Management, private readonly mayWrite: boolean) {
    const table = (label: string, heads: string[], body: HTMLElement): HTMLElement => h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
      h("table", {}, h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", { scope: "col" }, head)))), body));
    on(this.search, { input: () => this.wantLists() });
    replace(root,
      h("header", { class: "top" }, h("h1", {}, h("span", { class: "mark", "aria-hidden": "true" }), "Portolan ", h("span", {}, "dashboard")), this.state,
        h("span", { class: "hint" }, mayWrite ? "" : "this token may only look"),
        themeButton(() => [this.answers, this.mappings, this.pool].forEach((plot) => plot.draw())),
        button("Sign out", () => {
          sessionStorage.removeItem("token");
          location.reload();
        }, { class: "quiet" })),
      h("div", { class: "all" }, this.problem, this.tiles,
        h("div", { class: "plots" }, this.answers.element, this.mappings.element, this.pool.element),
        h("div", { class: "two" },
          h("section", { class: "panel" }, h("header", {}, h("h2", {}, "Mappings"), this.search, mayWrite && button("Add…", () => this.askMapping(), { "aria-label": "Add a mapping" })),
            table("Mappings", ["Protocol", "Internal", "External", "Lifetime", "Origin", "Description", ""], this.mappingRows)),
          h("section", { class: "panel" }, h("header", {}, h("h2", {}, "Events")), this.events)),
        h("section", { class: "panel" }, h("header", {}, h("h2", {}, "Users"), mayWrite && button("Add…", () => this.askUser(), { "aria-label": "Add a user" })),
          table("Users", ["Subscriber", "Origin", "External address", "Ports", "Mappings", ""], this.userRows))),
      this.dialog);
  }

  start(): void {
    void this.sample();
    void this.follow();
    this.wantLists();
    setInterval(() => void this.sample(), interval);
    // Lifetimes run down without an event.
    setInterval(() => this.wantLists(), 5000);
  }

  private complain(error: unknown): void {
    this.problem.textContent = error instanceof Error ? error.message : String(error);
  }

  private async sample(): Promise<void> {
    if (document.hidden) return;
    try {
      const [status, counters] = await Promise.all([this.api.object("/v1/status"), this.api.rows("/v1/statistics")]);
      this.problem.textContent = "";
      this.showStatus(status);
      const now = Date.now() / 1000;
      const passed = now - this.countedAt;
      const rates: Record<string, number> = {};
      for (const counter of counters) {
        if (counter.group !== "answers") continue;
        const name = counter.name ?? "";
        const value = counter.value ?? 0;
        const before = this.counted.get(name);
        if (before !== undefined && this.countedAt > 0 && value > 0) rates[name] = Math.max(0, value - before) / passed;
        this.counted.set(name, value);
      }
      if (this.countedAt > 0) this.answers.add(now, rates);
      this.countedAt = now;
      this.mappings.add(now, { mappings: status.mappings ?? 0, ports: status.ports ?? 0, subscribers: status.subscribers ?? 0 });
      this.pool.add(now, { used: (100 * (status.ports ?? 0)) / Math.max(1, status["ports-max"] ?? 1) });
    } catch (error) {
      this.complain(error);
    }
  }

  private showStatus(status: Row): void {
    const tile = (label: string, value: string, isBad = false): HTMLElement => h("div", { class: `tile${isBad ? " bad" : ""}` }, h("strong", {}, value), h("span", { class: "hint" }, label));
    replace(this.tiles,
      tile("mappings", String(status.mappings ?? 0)), tile("subscribers with mappings", String(status.subscribers ?? 0)),
      tile(`ports of ${status["ports-max"] ?? "?"}`, String(status.ports ?? 0)), tile("up", duration(status.uptime)),
      tile(status.devices?.join(", ") ?? "device", status.reconciling ? "reconciling" : "in step", status.reconciling),
      tile(`store: ${status.store ?? "?"}`, status["read-only"] ? "read-only" : "writes", status["read-only"]));
  }

  private async follow(): Promise<void> {
    const ended = new AbortController();
    for (;;) {
      try {
        this.state.textContent = "live";
        this.state.dataset.kind = "";
        await this.api.events(this.last, (row) => this.event(row), ended.signal);
      } catch (error) {
        this.complain(error);
      }
      this.state.textContent = "not connected";
      this.state.dataset.kind = "off";
      await new Promise((resolve) => setTimeout(resolve, interval));
    }
  }

  private event(row: Row): void {
    if (row.sequence !== undefined) this.last = row.sequence;
    if (row.event === "heartbeat") return;
    const detail = [row["transport-protocol"], internal(row), external(row) && `→ ${external(row)}`, row.description && `“${row.description}”`,
      internal(row) === "" ? row.subscriber : ""].filter(Boolean).join(" ");
    this.events.prepend(h("li", {}, h("time", {}, (row.time ?? "").slice(11, 19)), h("span", {}, row.event === "gap" ? `${row.missed ?? "some"} events missed` : (row.event ?? "")),
      h("span", { class: "detail" }, detail)));
    while (this.events.childElementCount > eventsMax) this.events.lastElementChild?.remove();
    this.wantLists();
  }

  /** Lists are fetched once however many events there are meanwhile. */
  private wantLists(): void {
    if (this.isListWanted) return;
    this.isListWanted = true;
    setTimeout(() => {
      this.isListWanted = false;
      void this.lists();
    }, 250);
  }

  private async lists(): Promise<void> {
    try {
      const [mappings, users] = await Promise.all([this.api.rows("/v1/mappings", { limit: rowsMax, ...filterOf(this.search.value) }), this.api.rows("/v1/users", { limit: rowsMax })]);
      replace(this.mappingRows, ...mappings.map((row) => this.mappingRow(row)));
      replace(this.userRows, ...users.map((row) => this.userRow(row)));
      if (mappings.length === 0) this.mappingRows.append(h("tr", {}, h("td", { colspan: 7, class: "hint" }, "None.")));
      this.search.setCustomValidity("");
    } catch (error) {
      // Half an address while it is typed.
      if (error instanceof ApiError && error.code === "invalid") this.search.setCustomValidity(error.message);
      else this.complain(error);
    }
  }

  private mappingRow(row: Row): HTMLElement {
    const name = `${row["transport-protocol"] ?? ""} ${internal(row)}`;
    return h("tr", {}, h("td", {}, row["transport-protocol"]), h("td", { class: "code" }, internal(row)), h("td", { class: "code" }, external(row)),
      h("td", {}, duration(row.lifetime)), h("td", {}, row.origin), h("td", {}, row.description),
      h("td", {}, this.mayWrite && row.origin !== "configured" && button("Delete", () => this.confirm(`Delete the mapping of ${name}? Its client is told.`, () =>
        this.api.remove("/v1/mappings", { "transport-protocol": row["transport-protocol"] ?? "", "internal-src-address": row["internal-src-address"] ?? "", "internal-src-port": row["internal-src-port"] ?? 0 })),
        { "aria-label": `Delete ${name}` })));
  }

  private userRow(row: Row): HTMLElement {
    const subscriber = row.subscriber ?? "";
    return h("tr", {}, h("td", { class: "code" }, subscriber), h("td", {}, row.origin), h("td", { class: "code" }, row["external-src-address"]), h("td", {}, row["port-range"]),
      h("td", {}, row.mappings), h("td", {}, this.mayWrite && row.origin !== "configured" && button("Delete", () =>
        this.confirm(`Delete the user ${subscriber}, and its mappings?`, () => this.api.remove("/v1/users", { subscriber })), { "aria-label": `Delete ${subscriber}` })));
  }

  private confirm(question: string, work: () => Promise<Row>): void {
    this.ask("Are you sure?", [h("p", {}, question)], "Delete", work);
  }

  private askMapping(): void {
    const inputs = { "transport-protocol": "tcp", "internal-src-address": "", "internal-src-port": "", "external-src-port": "", lifetime: "", description: "" };
    this.askFor("Add a mapping", "Add", "/v1/mappings", inputs, ["internal-src-port", "external-src-port", "lifetime"]);
  }

  private askUser(): void {
    this.askFor("Add a user", "Add", "/v1/users", { subscriber: "", "mappings-per-user-max": "" }, ["mappings-per-user-max"]);
  }

  private askFor(title: string, done: string, path: string, members: Record<string, string>, numbers: string[]): void {
    const inputs = Object.entries(members).map(([name, value]) => h("input", { name, value, autocomplete: "off", spellcheck: "false" }));
    this.ask(title, inputs.map((input) => h("label", {}, input.name.replace(/-/g, " "), input)), done, () => {
      const body: Record<string, unknown> = {};
      for (const input of inputs) if (input.value !== "") body[input.name] = numbers.includes(input.name) && /^\d+$/.test(input.value) ? Number(input.value) : input.value;
      return this.api.add(path, body);
    });
  }

  /** Does it if the answer is yes; says what is wrong, and stays, if it cannot be done. */
  private ask(title: string, parts: Node[], done: string, work: () => Promise<Row>): void {
    const problem = h("p", { class: "problem", role: "alert" });
    const form = on(h("form", { method: "dialog" }, h("h2", {}, title), ...parts, problem,
      h("div", { class: "row" }, button("Cancel", () => this.dialog.close()), h("button", { class: "primary" }, done))), {
      submit: (event) => {
        event.preventDefault();
        work().then(() => {
          this.dialog.close();
          this.wantLists();
        }).catch((error: unknown) => (problem.textContent = (error as Error).message));
      },
    });
    replace(this.dialog, form);
    this.dialog.showModal();
  }
}

function signIn(root: HTMLElement, problem: string): void {
  const token = h("input", { type: "password", id: "token", autocomplete: "off", required: true });
  const form = on(h("form", { class: "sign-in" }, h("h1", {}, h("span", { class: "mark", "aria-hidden": "true" }), "Portolan ", h("span", {}, "dashboard")),
    h("label", { for: "token" }, "Token"), token, h("p", { class: "hint" }, "One whose digest is in the file management.tokens. It stays in this tab."),
    h("p", { class: "problem", role: "alert" }, problem), h("button", { class: "primary" }, "Sign in")), {
    submit: (event) => {
      event.preventDefault();
      void enter(root, token.value);
    },
  });
  replace(root, form);
  token.focus();
}

async function enter(root: HTMLElement, token: string): Promise<void> {
  const api = new Management(token);
  try {
    await api.object("/v1/status");
  } catch (error) {
    sessionStorage.removeItem("token");
    return signIn(root, (error as Error).message);
  }
  sessionStorage.setItem("token", token);
  new Dashboard(root, api, await api.mayWrite()).start();
}

const root = document.getElementById("app");
if (root) {
  themeButton();
  const token = sessionStorage.getItem("token");
  if (token) void enter(root, token);
  else signIn(root, "");
}
