// SPDX-License-Identifier: BSD-2-Clause
//
// What studio's server side is asked, and what it answers.

export type FieldKind = "heading" | "value" | "frame" | "reserved" | "octets" | "fault";

export interface Field {
  kind: FieldKind;
  level: number;
  offset: number;
  size: number;
  name: string;
  value: string;
  source?: string;
}

export interface Dissection {
  octets: string;
  fields: Field[];
}

export type OptionDraft = Record<string, string | boolean>;

/** A packet as `portolan send --draft` takes it. */
export interface Draft {
  opcode?: string;
  raw?: string;
  options?: OptionDraft[];
  set?: string[];
  size?: number;
  [member: string]: unknown;
}

export interface About {
  version: string;
  server: string;
  "server-port": number;
  "internal-address"?: string;
  client?: string;
  "server-address"?: string;
  "chosen-server"?: string;
  problem?: string;
  presets: Preset[];
}

export interface Packet extends Dissection {
  id: number;
  kind: "sent" | "received" | "announced";
  milliseconds: number;
  time: number;
  source: string;
  destination: string;
  word?: string;
  "belongs-to"?: number;
  latency?: number;
}

export interface Note {
  id: number;
  kind: "trouble" | "note";
  milliseconds: number;
  time: number;
  text: string;
}

export interface StepResult {
  id: number;
  kind: "step";
  milliseconds: number;
  time: number;
  number: number;
  of: number;
  name: string;
  passed: boolean;
  answer: string;
  differences: string[];
}

export interface Ended {
  id: number;
  kind: "ended";
  milliseconds: number;
  time: number;
  /** Before its last step. */
  stopped?: boolean;
}

export type Entry = Packet | Note | StepResult | Ended;

/** A number is one in JSON too; anything else stays as typed, so that the answer says what is wrong with it. */
export const typed = (text: string): number | string => (/^\d{1,15}$/.test(text) ? Number(text) : text);

export interface Target {
  server?: string;
  "server-port"?: number | string;
  "internal-address"?: string;
}

export interface SequenceStep {
  name: string;
  send?: Draft;
  expect?: "nothing" | Record<string, string | number | number[] | string[]>;
  save?: Record<string, string>;
  wait?: number | string;
  timeout?: number | string;
}

export interface Sequence {
  name: string;
  about?: string;
  before?: string;
  step: SequenceStep[];
}

/** A sequence that comes with the program. */
export interface Preset extends Sequence {
  file: string;
}

/** What the server says is wrong, in its words. */
export class Refusal extends Error {}

async function answered<Answer>(response: Response): Promise<Answer> {
  const text = await response.text();
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw new Refusal(text.trim() || `status ${response.status}`);
  }
  if (!response.ok) throw new Refusal((body as { error?: string }).error ?? `status ${response.status}`);
  return body as Answer;
}

async function post<Answer>(path: string, body: unknown): Promise<Answer> {
  let response: Response;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
  } catch {
    throw new Refusal("portolan studio does not answer: is it still running?");
  }
  return answered<Answer>(response);
}

export const api = {
  about: async () => answered<About>(await fetch("/api/about")),
  compose: (draft: Draft) => post<Dissection>("/api/compose", draft),
  dissect: (octets: string) => post<Dissection & { draft: Draft }>("/api/dissect", { octets }),
  send: (draft: Draft, retransmit: boolean) => post<{ id: number }>("/api/send", { draft, retransmit }),
  run: (sequence: { name: string } | { sequence: Sequence }, target: Target) => post("/api/run", { ...sequence, ...target }),
  /** The sequence that a file's text is. */
  read: (text: string, isToml: boolean) => post<Sequence>("/api/read", { text, toml: isToml }),
  stop: () => post("/api/stop", {}),
  clear: () => post("/api/clear", {}),
};
