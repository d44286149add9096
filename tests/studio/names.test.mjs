// SPDX-License-Identifier: BSD-2-Clause
//
// While a packet is composed with each key that is pressed, its server's name is looked up once. Without a browser.
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { after, before, test } from "node:test";

import { client, line, program, World } from "./world.mjs";

const world = new World();
const name = "pcp.example.net";
let queries = 0;
let origin;
let cookie;

/** Answers a query for an IPv4 address with 127.0.0.1, any other with nothing (RFC 1035 s4.1). */
function answerTo(query) {
  const end = query.indexOf(0, 12) + 5;
  const isIpv4 = query.readUInt16BE(end - 4) === 1;
  const head = Buffer.from(query.subarray(0, 12));
  head.writeUInt16BE(0x8180, 2);
  head.writeUInt16BE(isIpv4 ? 1 : 0, 6);
  head.writeUInt16BE(0, 10);
  const record = Buffer.from("c00c000100010000000000047f000001", "hex");
  return Buffer.concat([head, query.subarray(12, end), ...(isIpv4 ? [record] : [])]);
}

before(async () => {
  const dns = createSocket("udp4");
  dns.on("message", (query, from) => {
    ++queries;
    dns.send(answerTo(query), from.port, from.address);
  });
  await new Promise((resolve) => dns.bind(53, "127.0.0.1", resolve));
  world.later(() => dns.close());
  const resolver = world.file("resolv.conf", "nameserver 127.0.0.1\n");
  const studio = world.start("unshare", "--mount", "sh", "-c", 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"', "sh", resolver,
    program("portolan"), "studio", "--internal-address", client);
  studio.stderr.pipe(process.stderr);
  const [said] = await line(studio.stdout, "http://");
  const address = /http:\S+/.exec(said)[0];
  origin = new URL(address).origin;
  cookie = (await fetch(address, { redirect: "manual" })).headers.get("set-cookie").split(";")[0];
});
after(() => world.end());

async function post(path, body) {
  const answer = await fetch(origin + path, { method: "POST", headers: { "Content-Type": "application/json", cookie }, body: JSON.stringify(body) });
  assert.equal(answer.status, 200, await answer.text());
}

test("a server's name is looked up once, and again after something is sent", async () => {
  const draft = { opcode: "announce", server: name };
  await post("/api/compose", draft);
  const once = queries;
  assert.ok(once > 0);
  for (const lifetime of [1, 12, 120]) await post("/api/compose", { ...draft, lifetime });
  assert.equal(queries, once);
  await post("/api/send", { draft });
  const sent = queries;
  assert.ok(sent > once);
  await post("/api/compose", draft);
  assert.ok(queries > sent);
});
