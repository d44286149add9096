// SPDX-License-Identifier: BSD-2-Clause
//
// The management API of portoland (docs/management-api.md). Its rows are typed by src/control/management/schema, of which
// build.mjs makes fields.ts.
import type { Fields } from "./fields";

export type Row = Fields;

export class ApiError extends Error {
  constructor(message: string, readonly code: string) {
    super(message);
  }
}

export class Management {
  constructor(private readonly token: string) {}

  private async ask(path: string, options: RequestInit = {}): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(path, { ...options, headers: { Authorization: `Bearer ${this.token}`, ...options.headers } });
    } catch {
      throw new ApiError("portoland does not answer", "unreachable");
    }
    if (response.ok) return response;
    const body = (await response.json().catch(() => ({}))) as { error?: { code?: string; message?: string; remedy?: string } };
    const { code = "unknown", message = `status ${response.status}`, remedy } = body.error ?? {};
    throw new ApiError(remedy ? `${message}: ${remedy}` : message, code);
  }

  async object(path: string): Promise<Row> {
    return (await this.ask(path)).json() as Promise<Row>;
  }

  async rows(path: string, query: Record<string, string | number> = {}): Promise<Row[]> {
    const words = new URLSearchParams(Object.entries(query).map(([key, value]) => [key, String(value)]));
    const text = await (await this.ask(`${path}?${words}`)).text();
    return text.split("\n").filter(Boolean).map((line) => JSON.parse(line) as Row);
  }

  async add(path: string, body: Record<string, unknown>): Promise<Row> {
    return (await this.ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })).json() as Promise<Row>;
  }

  async remove(path: string, query: Record<string, string | number>): Promise<Row> {
    const words = new URLSearchParams(Object.entries(query).map(([key, value]) => [key, String(value)]));
    return (await this.ask(`${path}?${words}`, { method: "DELETE" })).json() as Promise<Row>;
  }

  /** Events behind `after` until the connection ends. */
  async events(after: number | undefined, take: (row: Row) => void, ended: AbortSignal): Promise<void> {
    const response = await this.ask(`/v1/events${after === undefined ? "" : `?after=${after}`}`, { signal: ended });
    const reader = response.body?.getReader();
    if (!reader) return;
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line !== "") take(JSON.parse(line) as Row);
    }
  }
}
