// SPDX-License-Identifier: BSD-2-Clause
//
// What an operator types to find mappings, as queries of GET /v1/mappings. An address or port may be a mapping's inside
// or its outside, and the API asks for one of both: a search is as many queries as there are ways to read it.

export type Filter = Record<string, string>;
export interface Search {
  /** A mapping that fits one of them is meant. */
  filters: Filter[];
  /** Why the text can't be searched for; empty: it can. */
  problem: string;
}

const protocols = /^(tcp|udp|icmp|icmpv6|sctp)$/;

interface Part {
  address?: string;
  port?: string;
  /** Prefixes are hosts' only. */
  isInside?: boolean;
}

function isAddress(text: string): boolean {
  if (!text.includes(":")) {
    const octets = text.split(".");
    return octets.length === 4 && octets.every((octet) => /^(0|[1-9]\d{0,2})$/.test(octet) && Number(octet) <= 255);
  }
  if (!/^[0-9a-f:.]+$/.test(text)) return false;
  try {
    return new URL(`http://[${text}]/`).hostname !== "";
  } catch {
    return false;
  }
}

const isPort = (text: string): boolean => /^\d{1,5}$/.test(text) && Number(text) <= 65535;

/** An address, a port, both, or a prefix. */
function partOf(word: string): Part | undefined {
  if (isPort(word)) return { port: word };
  if (isAddress(word)) return { address: word };
  const prefix = /^([^/]+)\/(\d{1,3})$/.exec(word);
  if (prefix?.[1] && isAddress(prefix[1]) && Number(prefix[2]) <= (prefix[1].includes(":") ? 128 : 32)) return { address: word, isInside: true };
  const endpoint = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(word);
  const address = endpoint?.[1] ?? endpoint?.[2] ?? "";
  // Only IPv6 addresses have brackets, so that a port is told from their last group.
  if (endpoint?.[3] && isAddress(address) && isPort(endpoint[3]) && address.includes(":") === (endpoint[1] !== undefined)) return { address, port: endpoint[3] };
  return undefined;
}

/** The filter with a part on that side; undefined: there is another one already. */
function withPart(filter: Filter, part: Part, side: "internal" | "external"): Filter | undefined {
  const members = [[`${side}-src-address`, part.address], [`${side}-src-port`, part.port]] as const;
  const made = { ...filter };
  for (const [name, value] of members) {
    if (value === undefined) continue;
    if (name in made) return undefined;
    made[name] = value;
  }
  return made;
}

export function searchOf(text: string): Search {
  let filters: Filter[] = [{}];
  const unclear = (problem: string): Search => ({ filters: [], problem });
  for (const word of text.trim().toLowerCase().split(/\s+/).filter(Boolean)) {
    if (protocols.test(word)) {
      if (filters.some((filter) => "transport-protocol" in filter)) return unclear("A mapping has one protocol.");
      filters = filters.map((filter) => ({ ...filter, "transport-protocol": word }));
      continue;
    }
    const part = partOf(word);
    if (!part) return unclear(`“${word}” is no address, prefix, port or protocol. Descriptions cannot be searched.`);
    filters = filters.flatMap((filter) => [withPart(filter, part, "internal"), part.isInside ? undefined : withPart(filter, part, "external")])
      .filter((filter) => filter !== undefined);
    if (filters.length === 0) return unclear("A mapping has one internal and one external address, and one port of each.");
  }
  return { filters, problem: "" };
}
