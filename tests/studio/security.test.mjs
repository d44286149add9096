// SPDX-License-Identifier: BSD-2-Clause
import assert from "node:assert/strict";
import { connect } from "node:net";
import http from "node:http";
import { after, before, test } from "node:test";

import { World } from "./world.mjs";

const world = new World();
let browser;
let page;
let address;
let origin;
let cookie;

before(async () => {
  await world.server();
  address = await world.studio();
  origin = new URL(address).origin;
  browser = await world.browser();
  page = await world.open(browser, address);
  cookie = (await page.context().cookies()).map((each) => `${each.name}=${each.value}`).join("; ");
});
after(() => world.end());

/** Status and body of a request with these fields. */
function ask(path, { method = "GET", fields = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request(origin + path, { method, headers: fields, agent: false }, (response) => {
      let text = "";
      response.on("data", (piece) => { text += piece; });
      response.on("end", () => resolve({ status: response.statusCode, fields: response.headers, text }));
    });
    request.on("error", reject);
    request.end(body);
  });
}
const json = { "content-type": "application/json" };

test("the address is good once", async () => {
  assert.equal((await ask(new URL(address).pathname + new URL(address).search)).status, 403);
  assert.equal((await ask("/")).status, 403);
  assert.equal((await ask("/api/about", { fields: { cookie: cookie.slice(0, -1) } })).status, 403);
  assert.equal((await ask("/api/about", { fields: { cookie } })).status, 200);
  const other = await world.open(browser, null);
  await other.goto(address);
  assert.match(await other.textContent("body"), /has been used/);
  assert.equal(page.url(), origin + "/", "the token is not in the page's address");
});

test("other names, pages and methods are refused", async () => {
  assert.equal((await ask("/", { fields: { cookie, host: "studio.example.net" } })).status, 403);
  assert.equal((await ask("/api/clear", { method: "POST", fields: { ...json, cookie, origin: "http://studio.example.net" }, body: "{}" })).status, 403);
  assert.equal((await ask("/api/clear", { method: "POST", fields: { cookie, "content-type": "text/plain" }, body: "{}" })).status, 415);
  assert.equal((await ask("/api/clear", { method: "PUT", fields: { ...json, cookie }, body: "{}" })).status, 405);
  assert.equal((await ask("/api/clear", { method: "POST", fields: { ...json, cookie }, body: "[" })).status, 400);
  assert.equal((await ask("/api/none", { method: "POST", fields: { ...json, cookie }, body: "{}" })).status, 404);
  assert.equal((await ask("/../etc/passwd", { fields: { cookie } })).status, 404);
  assert.equal((await ask("/api/run", { method: "POST", fields: { ...json, cookie }, body: '{"name": "/etc/hostname.toml"}' })).status, 422);
  const filed = await ask("/api/send", { method: "POST", fields: { ...json, cookie }, body: '{"draft": {"opcode": "map", "pcap": "x.pcap"}}' });
  assert.equal(filed.status, 422);
  assert.match(filed.text, /names no files/);
});

test("another page's script gets nothing", async () => {
  const mine = JSON.parse((await ask("/api/send", { method: "POST", fields: { ...json, cookie }, body: '{"draft": {"opcode": "announce"}}' })).text).id;
  // A page of another origin, in the browser that has the cookie.
  const foreign = http.createServer((request, response) => response.writeHead(200, { "content-type": "text/html" }).end("<title>foreign</title>"));
  await new Promise((resolve) => foreign.listen(0, "127.0.0.1", resolve));
  world.later(() => new Promise((resolve) => foreign.close(resolve)));
  const other = await page.context().newPage();
  await other.goto(`http://localhost:${foreign.address().port}/`);
  const results = await other.evaluate(async (studio) => {
    const tries = [];
    for (const options of [{}, { method: "POST", body: "{}" }, { method: "POST", body: "{}", headers: { "Content-Type": "application/json" } }]) {
      try {
        const answer = await fetch(`${studio}/api/clear`, { credentials: "include", ...options });
        tries.push(answer.status);
      } catch {
        tries.push("refused");
      }
    }
    return tries;
  }, origin);
  assert.deepEqual(results, ["refused", "refused", "refused"]);
  const timeline = JSON.parse((await ask("/api/export?format=json", { fields: { cookie } })).text)["portolan-timeline"];
  assert.ok(timeline.some((entry) => entry.id === mine), "it is not cleared");
  await other.setContent(`<iframe src="${origin}/"></iframe>`);
  assert.equal(await other.frames()[1]?.locator("#app").count() ?? 0, 0);
  await other.close();
});

test("script in a description is shown and not run", async () => {
  const evil = '<img src=x onerror="window.ran=1"><script>window.ran=1</' + "script>";
  const draft = { opcode: "map", description: evil };
  const sent = await ask("/api/send", { method: "POST", fields: { ...json, cookie }, body: JSON.stringify({ draft }) });
  assert.equal(sent.status, 200);
  const item = page.locator(`.exchanges > li[data-exchange="${JSON.parse(sent.text).id}"]`);
  await item.locator("summary").click();
  await item.getByText("onerror", { exact: false }).first().waitFor();
  await item.getByRole("button", { name: "Compose from this" }).click();
  await page.locator(".tree").getByText("onerror", { exact: false }).waitFor();
  assert.equal(await page.evaluate(() => window.ran), undefined);
  assert.equal(await page.locator("img").count(), 0);
  // Neither could a script that got into the page: the policy lets none in.
  await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "window.ran = 1";
    document.body.append(script);
  });
  assert.equal(await page.evaluate(() => window.ran), undefined);
});

test("a body of a megabyte is refused, and studio goes on", async () => {
  const large = await ask("/api/dissect", { method: "POST", fields: { ...json, cookie, connection: "close" }, body: JSON.stringify({ octets: "0".repeat(1 << 20) }) })
    .catch((error) => ({ status: error.code }));
  assert.ok([413, "ECONNRESET", "EPIPE"].includes(large.status), `${large.status}`);
  assert.equal((await ask("/api/about", { fields: { cookie } })).status, 200);
  const odd = await ask("/api/dissect", { method: "POST", fields: { ...json, cookie }, body: '{"octets": "0"}' });
  assert.equal(odd.status, 400);
});

test("one who stops reading holds nobody up, and there are only so many of them", async () => {
  const stalled = [];
  for (let number = 0; number < 15; ++number) {
    const socket = connect(Number(new URL(origin).port), "127.0.0.1");
    socket.write(`GET /api/timeline HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: ${cookie}\r\n\r\n`);
    await new Promise((resolve) => socket.once("data", resolve));
    socket.pause();
    stalled.push(socket);
  }
  world.later(() => stalled.forEach((socket) => socket.destroy()));
  assert.equal((await ask("/api/timeline", { fields: { cookie } })).status, 503, "16 follow: 15 and the page");
  const draft = { opcode: "map", description: "x".repeat(1000) };
  for (let number = 0; number < 300; ++number)
    assert.equal((await ask("/api/send", { method: "POST", fields: { ...json, cookie }, body: JSON.stringify({ draft }) })).status, 200);
  await page.locator(".exchanges > li").nth(250).waitFor();
});

test("every answer has the policy", async () => {
  for (const path of ["/", "/studio.js", "/studio.css", "/api/about", "/none"]) {
    const { fields } = await ask(path, { fields: { cookie } });
    assert.match(fields["content-security-policy"], /default-src 'none'; script-src 'self'/);
    assert.equal(fields["x-content-type-options"], "nosniff");
    assert.equal(fields["referrer-policy"], "no-referrer");
  }
});
