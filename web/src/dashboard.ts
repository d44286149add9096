// SPDX-License-Identifier: BSD-2-Clause
//
// For operators: what the server does, as it does it.
import { button, h, on, replace } from "./dom";
import { ApiError, Management, type Row } from "./management";
import { Plot } from "./plots";
import { Rows, type Shown } from "./rows";
import { type Filter, searchOf } from "./search";
import { themeButton } from "./theme";

const interval = 2000;
const rowsMax = 200;
const eventsMax = 200;
const poolNearlyUsedUp = 90;

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

/** What makes a mapping that one, and what may be done with it. */
const keyOf = (row: Row): string => [row["transport-protocol"], row.realm, internal(row), endpoint(row["internal-dst-address"], row["internal-dst-port"]),
  row["external-src-address"]?.includes(":"), row.origin].join(" ");

/** How many of those there are the table has, if not all. */
const shareOf = (found: Row[], all?: number): string =>
  found.length <= rowsMax ? "" : all === undefined ? `the first ${rowsMax}` : `the first ${rowsMax} of ${all}`;

interface Field {
  name: string;
  label: string;
  placeholder?: string;
  choices?: string[];
  isNumber?: boolean;
}

class Dashboard {
  private readonly tiles = h("div", { class: "tiles" });
  private readonly answers = new Plot("Answers by result code", "/s");
  private readonly mappings = new Plot("Mappings", "", { names: ["mappings", "ports", "subscribers"] });
  private readonly pool = new Plot("Pool use", "%", { hasGaps: true, top: 100 });
  private readonly mappingRows = new Rows(["", "code", "code", "", "", "words"]);
  private readonly userRows = new Rows(["code", "", "code", "", ""]);
  private readonly mappingsShown = h("span", { class: "hint" });
  private readonly usersShown = h("span", { class: "hint" });
  private readonly events = h("ol", { class: "events", "aria-label": "Events, newest first" });
  private readonly state = h("span", { class: "state", role: "status" });
  private readonly problem = h("p", { class: "problem", role: "alert" });
  private readonly search = h("input", { type: "search", placeholder: "address:port, prefix, tcp", "aria-label": "Search mappings", autocomplete: "off",
    spellcheck: "false", "aria-describedby": "search-problem" });
  private readonly searchProblem = h("p", { class: "problem", id: "search-problem", role: "status" });
  private readonly dialog = h("dialog", { class: "ask" });
  private counted = new Map<string, number>();
  private countedAt = 0;
  private last: number | undefined;
  private total: number | undefined;
  private isListWanted = false;
  private isListing = false;

  constructor(root: HTMLElement, private readonly api: Management, private readonly mayWrite: boolean) {
    const table = (label: string, heads: string[], { body }: Rows): HTMLElement => h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
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
          h("section", { class: "panel" }, h("header", {}, h("h2", {}, "Mappings"), this.mappingsShown, this.search, mayWrite && button("Add…", () => this.askMapping(), { "aria-label": "Add a mapping" })), this.searchProblem,
            table("Mappings", ["Protocol", "Internal", "External", "Lifetime", "Origin", "Description", ""], this.mappingRows)),
          h("section", { class: "panel" }, h("header", {}, h("h2", {}, "Events"), h("span", { class: "hint" }, "UTC")), this.events)),
        h("section", { class: "panel" }, h("header", {}, h("h2", {}, "Users"), this.usersShown, mayWrite && button("Add…", () => this.askUser(), { "aria-label": "Add a user" })),
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
      const [status, counters, pools] = await Promise.all([this.api.object("/v1/status"), this.api.rows("/v1/statistics"), this.api.rows("/v1/pools")]);
      this.problem.textContent = "";
      const use: Record<string, number> = {};
      for (const { device, "transport-protocol": protocol, "ports-taken": taken = 0, "ports-free": free = 0 } of pools)
        if (taken + free > 0) use[`${device ?? ""} ${protocol ?? ""}`] = (100 * taken) / (taken + free);
      this.total = status.mappings;
      this.showStatus(status, use);
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
      this.pool.add(now, use);
    } catch (error) {
      this.complain(error);
    }
  }

  private showStatus(status: Row, use: Record<string, number>): void {
    const tile = (label: string, value: string, isBad = false): HTMLElement => h("div", { class: `tile${isBad ? " bad" : ""}` }, h("strong", {}, value), h("span", { class: "hint" }, label));
    const [fullest, percent] = Object.entries(use).reduce((most, each) => (each[1] > most[1] ? each : most), ["", -1]);
    replace(this.tiles,
      tile("mappings", String(status.mappings ?? 0)), tile("subscribers with mappings", String(status.subscribers ?? 0)),
      tile(`ports mapped, of ${status["ports-max"] ?? "?"} allowed`, String(status.ports ?? 0)),
      fullest !== "" && tile(`of the pool taken: ${fullest}`, `${Math.floor(percent)} %`, percent >= poolNearlyUsedUp), tile("up", duration(status.uptime)),
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
    this.events.prepend(h("li", {}, h("time", { datetime: row.time }, (row.time ?? "").slice(11, 19)), h("span", {}, row.event === "gap" ? `${row.missed ?? "some"} events missed` : (row.event ?? "")),
      h("span", { class: "detail" }, detail)));
    while (this.events.childElementCount > eventsMax) this.events.lastElementChild?.remove();
    this.wantLists();
  }

  /** Lists are fetched one after the other, and once however many events there are meanwhile. */
  private wantLists(): void {
    this.isListWanted = true;
    if (this.isListing) return;
    this.isListing = true;
    setTimeout(() => {
      this.isListWanted = false;
      void this.lists().then(() => {
        this.isListing = false;
        if (this.isListWanted) this.wantLists();
      });
    }, 250);
  }

  private async lists(): Promise<void> {
    const text = this.search.value;
    const { filters, problem } = searchOf(text);
    try {
      const [mappings, users] = await Promise.all([this.findMappings(filters), this.api.rows("/v1/users", { limit: rowsMax + 1 })]);
      this.userRows.update(users.slice(0, rowsMax).map((row) => this.userRow(row)));
      this.usersShown.textContent = shareOf(users);
      // Something else is searched for by now.
      if (this.search.value !== text) return;
      this.say(problem);
      if (problem !== "") return;
      this.mappingRows.update(mappings.slice(0, rowsMax).map((row) => this.mappingRow(row)));
      this.mappingsShown.textContent = shareOf(mappings, text.trim() === "" ? this.total : undefined);
    } catch (error) {
      if (!(error instanceof ApiError && error.code === "invalid")) this.complain(error);
      else if (this.search.value === text) this.say(error.message);
    }
  }

  /** Why a search is none: the list stays as it was. */
  private say(problem: string): void {
    this.searchProblem.textContent = problem;
    this.search.setAttribute("aria-invalid", String(problem !== ""));
  }

  private async findMappings(filters: Filter[]): Promise<Row[]> {
    const found = new Map<string, Row>();
    for (const rows of await Promise.all(filters.map((filter) => this.api.rows("/v1/mappings", { limit: rowsMax + 1, ...filter }))))
      for (const row of rows) found.set(keyOf(row), row);
    return [...found.values()];
  }

  private mappingRow(row: Row): Shown {
    const name = `${row["transport-protocol"] ?? ""} ${internal(row)}`;
    return {
      key: keyOf(row),
      cells: [row["transport-protocol"], internal(row), external(row), duration(row.lifetime), row.origin, row.description],
      action: () => this.mayWrite && row.origin !== "configured" && button("Delete", () => this.confirm(`Delete the mapping of ${name}? Its client is told.`, () =>
        this.api.remove("/v1/mappings", { "transport-protocol": row["transport-protocol"] ?? "", "internal-src-address": row["internal-src-address"] ?? "",
          "internal-src-port": row["internal-src-port"] ?? 0, realm: row.realm ?? 0 })), { "aria-label": `Delete ${name}` }),
    };
  }

  private userRow(row: Row): Shown {
    const subscriber = row.subscriber ?? "";
    return {
      key: `${subscriber} ${row.origin ?? ""}`,
      cells: [subscriber, row.origin, row["external-src-address"], row["port-range"], row.mappings],
      action: () => this.mayWrite && row.origin !== "configured" && button("Delete", () =>
        this.confirm(`Delete the user ${subscriber}, and its mappings?`, () => this.api.remove("/v1/users", { subscriber })), { "aria-label": `Delete ${subscriber}` }),
    };
  }

  private confirm(question: string, work: () => Promise<Row>): void {
    this.ask("Are you sure?", [h("p", {}, question)], "Delete", work);
  }

  private askMapping(): void {
    this.askFor("Add a mapping", "/v1/mappings", [
      { name: "transport-protocol", label: "Protocol", choices: ["tcp", "udp", "sctp"] },
      { name: "internal-src-address", label: "Internal address" },
      { name: "internal-src-port", label: "Internal port", isNumber: true },
      { name: "external-src-address", label: "External address", placeholder: "any of the pool" },
      { name: "external-src-port", label: "External port", isNumber: true },
      { name: "lifetime", label: "Lifetime in seconds", placeholder: "it does not end", isNumber: true },
      { name: "description", label: "Description" },
    ]);
  }

  private askUser(): void {
    this.askFor("Add a user", "/v1/users", [
      { name: "subscriber", label: "Prefix of its addresses" },
      { name: "mappings-per-user-max", label: "Ports mapped at most", placeholder: "as for everybody", isNumber: true },
    ]);
  }

  private askFor(title: string, path: string, fields: Field[]): void {
    const inputs = fields.map(({ name, choices, placeholder }) => choices ? h("select", { name }, ...choices.map((each) => h("option", {}, each)))
      : h("input", { name, placeholder, autocomplete: "off", spellcheck: "false" }));
    this.ask(title, fields.map(({ label }, index) => h("label", {}, label, inputs[index])), "Add", () => {
      const body: Record<string, unknown> = {};
      // What is no number is for the server to refuse in its words.
      fields.forEach(({ name, isNumber }, index) => {
        const value = inputs[index]?.value.trim() ?? "";
        if (value !== "") body[name] = isNumber && /^\d+$/.test(value) ? Number(value) : value;
      });
      return this.api.add(path, body).catch((error: unknown) => {
        // Of its fields by their labels.
        throw new Error(fields.reduce((text, { name, label }) => text.replaceAll(`'${name}'`, `“${label}”`), (error as Error).message));
      });
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
  let status: Row;
  try {
    status = await api.object("/v1/status");
  } catch (error) {
    sessionStorage.removeItem("token");
    return signIn(root, (error as Error).message);
  }
  sessionStorage.setItem("token", token);
  new Dashboard(root, api, status.access === "write").start();
}

const root = document.getElementById("app");
if (root) {
  themeButton();
  const token = sessionStorage.getItem("token");
  if (token) void enter(root, token);
  else signIn(root, "");
}
