// SPDX-License-Identifier: BSD-2-Clause
//
// What the members of a draft are, in words for people.

export interface Word {
  key: string;
  label: string;
  help: string;
  source: string;
  placeholder?: string;
  choices?: string[];
  number?: boolean;
  /** Its value is long. */
  wide?: boolean;
  /** The dissection's name of it. */
  field?: string;
}

export const opcodes: { value: string; label: string; help: string }[] = [
  { value: "map", label: "MAP", help: "A port of this host, reachable from outside (RFC 6887 s11)." },
  { value: "peer", label: "PEER", help: "An outbound flow to one peer: what it looks like there, and for how long (RFC 6887 s12)." },
  { value: "announce", label: "ANNOUNCE", help: "Is the server there, and does it remember? (RFC 6887 s14.1)" },
  { value: "nat-pmp-address", label: "NAT-PMP address", help: "The external address (RFC 6886 s3.2)." },
  { value: "nat-pmp-udp", label: "NAT-PMP UDP", help: "A UDP mapping (RFC 6886 s3.3)." },
  { value: "nat-pmp-tcp", label: "NAT-PMP TCP", help: "A TCP mapping (RFC 6886 s3.3)." },
  { value: "number", label: "Other opcode", help: "Any opcode from 0 to 127, without a body." },
  { value: "raw", label: "Octets", help: "The whole packet as it is." },
];

const lifetime: Word = { key: "lifetime", label: "Requested lifetime", number: true, field: "Requested Lifetime",
  help: "Seconds the mapping shall last; 0 deletes it.", source: "RFC 6887 s7.1", placeholder: "7200" };
const client: Word = { key: "client-address", label: "PCP client's IP address", field: "PCP Client's IP Address",
  help: "Must be the packet's source: a difference tells of a NAT on the path.", source: "RFC 6887 s7.1",
  placeholder: "the packet's source", wide: true };
const nonce: Word = { key: "nonce", label: "Mapping nonce", field: "Mapping Nonce",
  help: "24 hexadecimal digits. Only who knows it can change the mapping.", source: "RFC 6887 s11.2",
  placeholder: "random, new each time", wide: true };
const protocol: Word = { key: "protocol", label: "Protocol", field: "Protocol", help: "What is mapped: by name or IANA number; all needs internal port 0.",
  source: "RFC 6887 s11.1", placeholder: "tcp", choices: ["tcp", "udp", "sctp", "all"] };
const internal: Word = { key: "internal-port", label: "Internal port", number: true, field: "Internal Port",
  help: "Port of the host; 0 means all of the protocol's.", source: "RFC 6887 s11.1", placeholder: "8080" };
const external: Word = { key: "external-port", label: "Suggested external port", number: true, field: "Suggested External Port",
  help: "The port outside that would be liked best; 0 for any.", source: "RFC 6887 s11.1", placeholder: "0" };
const address: Word = { key: "external-address", label: "Suggested external address", field: "Suggested External IP Address",
  help: "0.0.0.0 or :: for any of that family.", source: "RFC 6887 s11.1", placeholder: "0.0.0.0" };
const peerPort: Word = { key: "peer-port", label: "Remote peer's port", number: true, field: "Remote Peer Port",
  help: "Port of whom the flow is with.", source: "RFC 6887 s12.1", placeholder: "0" };
const peerAddress: Word = { key: "peer-address", label: "Remote peer's address", field: "Remote Peer IP Address",
  help: "Whom the flow is with.", source: "RFC 6887 s12.1", placeholder: "::" };
const version: Word = { key: "pcp-version", label: "Version", number: true, field: "Version",
  help: "2 is RFC 6887; 1 is of its drafts and has no nonce.", source: "RFC 6887 s7.1", placeholder: "2" };

const map = [protocol, internal, external, address, lifetime, version, nonce, client];
const natPmp = [{ ...internal, source: "RFC 6886 s3.3" }, { ...external, source: "RFC 6886 s3.3" },
  { ...lifetime, source: "RFC 6886 s3.3", field: "Requested Port Mapping Lifetime" }];
/** Fields of each opcode's form. */
export const forms: Record<string, Word[]> = {
  map,
  peer: [protocol, internal, external, address, peerPort, peerAddress, lifetime, version, nonce, client],
  announce: [{ ...lifetime, help: "Means nothing here.", placeholder: "0" }, version, client],
  number: [lifetime, version, client],
  "nat-pmp-address": [],
  "nat-pmp-udp": natPmp,
  "nat-pmp-tcp": natPmp,
  raw: [],
};

export interface OptionWord {
  key: string;
  label: string;
  help: string;
  source: string;
  parts: { label: string; placeholder?: string; separator?: string; flag?: string; width?: string }[];
  initial: string | boolean;
}

/** Options that may be added by name. The parts of a value follow each other with their separators. */
export const optionWords: OptionWord[] = [
  { key: "third-party", label: "THIRD_PARTY", help: "The mapping is for another internal host.", source: "RFC 6887 s13.1",
    parts: [{ label: "Internal address", placeholder: "192.0.2.7" }], initial: "192.0.2.7" },
  { key: "prefer-failure", label: "PREFER_FAILURE", help: "Rather an error than another port or address.", source: "RFC 6887 s13.2",
    parts: [], initial: true },
  { key: "filter", label: "FILTER", help: "Only these remote hosts are let in; port 0 stands for all.", source: "RFC 6887 s13.3",
    parts: [{ label: "Prefix", placeholder: "192.0.2.0/24" }, { label: "Port", separator: ",", placeholder: "0", width: "short" }],
    initial: "192.0.2.0/24,0" },
  { key: "description", label: "DESCRIPTION", help: "What the mapping is for: UTF-8, 1016 octets.", source: "RFC 7220 s2",
    parts: [{ label: "Text", placeholder: "camera" }], initial: "camera" },
  { key: "prefix64", label: "PREFIX64", help: "Asks which prefixes the NAT64 has.", source: "RFC 7225 s4.1", parts: [], initial: true },
  { key: "port-set", label: "PORT_SET", help: "Several ports in a row, even ones on even ones with parity.", source: "RFC 7753 s4",
    parts: [{ label: "Size", placeholder: "2", width: "short" }, { label: "First internal port", separator: ",", placeholder: "5004", width: "short" },
      { label: "Parity", separator: ",", flag: "parity" }], initial: "2,5004,parity" },
  { key: "third-party-id", label: "THIRD_PARTY_ID", help: "The realm of the third party's address.", source: "RFC 7843 s4",
    parts: [{ label: "Hexadecimal", placeholder: "0102" }], initial: "00" },
  { key: "option", label: "Any option", help: "Code, octets, and a length field that may be wrong.", source: "RFC 6887 s7.3",
    parts: [{ label: "Code", placeholder: "200", width: "short" }, { label: "Claimed length", separator: "/", placeholder: "true one", width: "short" },
      { label: "Hexadecimal", separator: ":", placeholder: "00ff" }], initial: "200:00" },
];
export const optionWord = (key: string): OptionWord | undefined => optionWords.find((word) => word.key === key);
