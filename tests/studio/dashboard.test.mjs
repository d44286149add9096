// SPDX-License-Identifier: BSD-2-Clause
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { client, program, run, World } from "./world.mjs";

const world = new World();
const portolan = program("portolan");
/** External ports of each of two addresses, and of each protocol: few, so that they can be used up. */
const ports = { first: 8080, last: 8103 };
let browser;
let page;
let origin;

before(async () => {
  const tokens = join(world.directory, "tokens");
  const digest = (secret) => createHash("sha256").update(secret).digest("hex");
  writeFileSync(tokens, `looks read ${digest("read-secret")}\nchanges write ${digest("write-secret")}\n`);
  chmodSync(tokens, 0o600);
  const server = await world.server("minimum_lifetime = 1", `first_port = ${ports.first}\nlast_port = ${ports.last}\n[management]\nlisten = ["tcp:127.0.0.1:0", "unix:${world.directory}/management.sock"]\ntokens = "${tokens}"\n`);
  origin = `http://${/at tcp:(\S+)/.exec(server.said)[1]}`;
  browser = await world.browser();
});
after(() => world.end());

const map = (...words) => run(portolan, "map", ...words, "--server", "127.0.0.1", "--internal-address", client);
const control = (...words) => run(program("portolanctl"), "--server", `unix:${world.directory}/management.sock`, "--yes", ...words);
const row = (text) => page.getByRole("region", { name: "Mappings" }).locator("tr", { hasText: text });

async function signIn(secret) {
  const opened = await world.open(browser, null);
  await opened.goto(origin);
  await opened.getByLabel("Token").fill(secret);
  await opened.getByRole("button", { name: "Sign in" }).click();
  return opened;
}

test("who has no token sees nothing", async () => {
  const stranger = await signIn("guessed");
  await stranger.getByText("there is no such token", { exact: false }).waitFor();
  await world.picture(stranger, "dashboard-sign-in");
  await stranger.context().close();
});

test("a mapping appears as it is made, and goes as it expires", async () => {
  page = await signIn("write-secret");
  await page.locator(".state").getByText("live").waitFor();
  await page.getByRole("region", { name: "Mappings" }).getByText("None.").waitFor();
  map("tcp", "8080", "--lifetime", "4");
  await page.locator(".events").getByText("mapping-created").waitFor();
  await row(`${client}:8080`).waitFor();
  await page.locator(".events").getByText("mapping-expired").waitFor();
  await row(`${client}:8080`).waitFor({ state: "detached" });
});

test("what portolanctl makes appears, and goes as it expires or is deleted", async () => {
  control("add", "map", "tcp", "198.51.100.8", "81", "8081", "192.0.2.1");
  await row("198.51.100.8:81").getByText("192.0.2.1:8081").waitFor();
  const had = await page.locator(".events").getByText("mapping-expired").count();
  control("add", "map", "tcp", "198.51.100.8", "82", "8082", "192.0.2.1", "--lifetime", "4");
  const expiry = (text) => row(text).locator("td").nth(3).textContent();
  assert.match(await expiry("198.51.100.8:82"), /^\d+ s$/);
  assert.equal(await expiry("198.51.100.8:81"), "");
  await page.locator(".events").getByText("mapping-expired").nth(had).waitFor();
  await row("198.51.100.8:82").waitFor({ state: "detached" });
  assert.equal(await row("198.51.100.8:81").count(), 1);
  control("delete", "map", "tcp", "198.51.100.8", "81");
  await page.locator(".events").getByText("mapping-deleted").first().waitFor();
  await row("198.51.100.8:81").waitFor({ state: "detached" });
});

const search = (text) => page.getByLabel("Search mappings").fill(text);
const dialog = () => page.getByRole("dialog");

test("mappings are added and deleted, with a question before", async () => {
  map("udp", "5060", "--lifetime", "600");
  await page.getByRole("button", { name: "Add a mapping" }).click();
  await dialog().getByLabel("Protocol").selectOption("tcp");
  await dialog().getByLabel("Internal address").fill("198.51.100.9");
  await dialog().getByLabel("Internal port").fill("80");
  await dialog().getByRole("button", { name: "Add", exact: true }).click();
  await page.getByRole("alert").filter({ hasText: "needs “External port”" }).waitFor();
  await world.picture(page, "dashboard-add");
  await dialog().getByLabel("External address").fill("192.0.2.2");
  await dialog().getByLabel("External port").fill("8090");
  await dialog().getByLabel("Description").fill("<b>door</b>");
  await dialog().getByRole("button", { name: "Add", exact: true }).click();
  await row("198.51.100.9:80").getByText("<b>door</b>").waitFor();
  await row("198.51.100.9:80").getByText("192.0.2.2:8090").waitFor();
  await world.picture(page, "dashboard");
  await page.getByRole("button", { name: "Delete tcp 198.51.100.9:80" }).click();
  await dialog().getByRole("button", { name: "Cancel" }).click();
  await row("198.51.100.9:80").waitFor();
});

test("mappings are searched by what is inside and by what is outside", async () => {
  control("add", "map", "tcp", "2001:db8:112::9", "443", "8091", "192.0.2.1");
  await row("[2001:db8:112::9]:443").waitFor();
  const mappings = [`${client}:5060`, "198.51.100.9:80", "[2001:db8:112::9]:443"];
  for (const [text, found] of [["udp", [0]], ["198.51.100.9", [1]], ["192.0.2.2:8090", [1]], ["192.0.2.1 tcp", [2]], ["198.51.100.9:80", [1]],
    ["[2001:db8:112::9]:443", [2]], ["2001:db8::/32", [2]], ["8091", [2]], ["443 192.0.2.1", [2]], ["198.51.100.9 192.0.2.2 TCP", [1]],
    ["198.51.100.0/24 tcp", [1]], ["9", []], ["198.51.100.9 192.0.2.1", []], ["", [0, 1, 2]]]) {
    await search(text);
    await page.waitForFunction(([wanted, none]) => {
      const shown = document.querySelector('[role="region"][aria-label="Mappings"] tbody').textContent;
      return wanted.every(([name, isWanted]) => shown.includes(name) === isWanted) && shown.includes("None.") === none;
    }, [mappings.map((name, index) => [name, found.includes(index)]), found.length === 0]);
    assert.equal(await page.locator("#search-problem").textContent(), "", text);
  }
  for (const text of ["camera", "198.51.100.256", "198.51.100.9:65536", "2001:db8:112::9:443:::", "65536", "198.51.100.0/33", "tcp udp",
    "198.51.100.9 198.51.100.8 192.0.2.1"]) {
    await search("udp");
    await row("198.51.100.9:80").waitFor({ state: "detached" });
    await search(text);
    await page.waitForFunction(() => document.querySelector("#search-problem").textContent !== "");
    assert.equal(await row("198.51.100.9:80").count(), 0, "the list stays as it was");
  }
  await search("camera");
  await page.locator("#search-problem").getByText("“camera” is no address, prefix, port or protocol. Descriptions cannot be searched.").waitFor();
  await search("198.51.100.9/24");
  await page.locator("#search-problem").getByText("internal-src-address", { exact: false }).waitFor();
  await search("");
  await row("198.51.100.9:80").waitFor();
});

test("lists change around what has the focus", async () => {
  const button = page.getByRole("button", { name: "Delete tcp 198.51.100.9:80" });
  await button.focus();
  await button.evaluate((element) => { element.mark = true; });
  control("add", "map", "tcp", "198.51.100.10", "80", "8092", "192.0.2.1");
  await row("198.51.100.10:80").waitFor();
  control("delete", "map", "tcp", "198.51.100.10", "80");
  await row("198.51.100.10:80").waitFor({ state: "detached" });
  assert.ok(await page.evaluate(() => document.activeElement.mark));
  await button.press("Enter");
  await dialog().getByRole("button", { name: "Delete" }).press("Enter");
  await row("198.51.100.9:80").waitFor({ state: "detached" });
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Mappings", "the keyboard goes on from there");
});

test("an answer that comes late does not replace what is searched for since", async () => {
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  let asked;
  const isAsked = new Promise((resolve) => { asked = resolve; });
  await page.route("**/v1/mappings?*transport-protocol=tcp*", async (route) => {
    asked();
    await held;
    await route.continue();
  });
  await search("tcp");
  await isAsked;
  await search("udp");
  release();
  await row("[2001:db8:112::9]:443").waitFor({ state: "detached" });
  await row(`${client}:5060`).waitFor();
  await page.unrouteAll({ behavior: "wait" });
  await search("");
  await row("[2001:db8:112::9]:443").waitFor();
});

test("a list that is too long says so", async () => {
  const many = Array.from({ length: 201 }, (_, number) => ({ "transport-protocol": "tcp", "internal-src-address": "198.51.100.1",
    "internal-src-port": number + 1, "external-src-address": "192.0.2.1", "external-src-port": number + 1, origin: "dynamic", realm: 0 }));
  const lines = (rows) => ({ contentType: "application/x-ndjson", body: rows.map((each) => `${JSON.stringify(each)}\n`).join("") });
  await page.route("**/v1/mappings?*", (route) => route.fulfill(lines(many)));
  await page.route("**/v1/users?*", (route) => route.fulfill(lines(many.map((_, number) => ({ subscriber: `198.51.100.${number}/32`, origin: "dynamic" })))));
  await search("tcp");
  await page.getByText("the first 200", { exact: true }).first().waitFor();
  assert.equal(await page.getByText("the first 200", { exact: true }).count(), 2);
  assert.equal(await page.getByRole("region", { name: "Mappings" }).locator("tbody tr").count(), 200);
  await page.route("**/v1/status", (route) => route.fulfill({ contentType: "application/json", body: JSON.stringify({ mappings: 201 }) }));
  await search("");
  await page.getByText("the first 200 of 201", { exact: true }).waitFor();
  await page.unrouteAll({ behavior: "wait" });
  await page.getByText("the first 200").first().waitFor({ state: "detached" });
});

test("users are added and deleted", async () => {
  const users = page.getByRole("region", { name: "Users" });
  await page.getByRole("button", { name: "Add a user" }).click();
  await dialog().getByLabel("Prefix of its addresses").fill("2001:db8:113::/48");
  await dialog().getByLabel("Ports mapped at most").fill("none");
  await dialog().getByRole("button", { name: "Add", exact: true }).click();
  await page.getByRole("alert").filter({ hasText: "Ports mapped at most" }).waitFor();
  await dialog().getByLabel("Ports mapped at most").fill("3");
  await dialog().getByRole("button", { name: "Add", exact: true }).click();
  await users.locator("tr", { hasText: "2001:db8:113::/48" }).getByText("by-hand").waitFor();
  assert.match(control("show", "user", "2001:db8:113::/48"), /Mappings at most +3\n/);
  await page.getByRole("button", { name: "Delete 2001:db8:113::/48" }).click();
  await dialog().getByText("Delete the user 2001:db8:113::/48, and its mappings?").waitFor();
  await dialog().getByRole("button", { name: "Delete" }).click();
  await users.getByText("2001:db8:113::/48").waitFor({ state: "detached" });
});

/** The newest value of a series, as its legend says. */
const newest = (figure, series) => page.getByRole("figure", { name: figure }).locator(".u-series", { hasText: series }).locator(".u-value").textContent();
const becomes = async (figure, series, wanted) => {
  await page.waitForFunction(([title, name, value]) => {
    const rows = [...document.querySelectorAll(`[role="figure"][aria-label="${title}"] .u-series`)];
    const text = rows.find((each) => each.querySelector(".u-label").textContent === name)?.querySelector(".u-value").textContent ?? "";
    return new RegExp(value).test(text);
  }, [figure, series, wanted.source]);
};

test("rates, numbers and pool use are plotted", async () => {
  const before = JSON.parse(control("--json", "show"));
  await becomes("Mappings", "mappings", new RegExp(`^${before.mappings}$`));
  await becomes("Mappings", "subscribers", new RegExp(`^${before.subscribers}$`));
  for (let number = 0; number < 20; ++number) map("tcp", String(9000 + number), "--lifetime", "600");
  await becomes("Answers by result code", "SUCCESS", /^(?!0 )[\d.]+ \/s$/);
  await becomes("Mappings", "mappings", new RegExp(`^${before.mappings + 20}$`));
  const all = 2 * (ports.last - ports.first + 1);
  const pool = () => control("--json", "list", "pool").trim().split("\n").map((line) => JSON.parse(line)).find((each) => each["transport-protocol"] === "udp");
  assert.equal(pool()["ports-taken"] + pool()["ports-free"], all);
  await becomes("Pool use", "simulated udp", new RegExp(`^${Number(((100 * pool()["ports-taken"]) / all).toFixed(2))} %$`));
  // All ports that are left.
  for (const address of ["192.0.2.1", "192.0.2.2"])
    for (let port = ports.first; port <= ports.last; ++port)
      await fetch(`${origin}/v1/mappings`, { method: "POST", headers: { Authorization: "Bearer write-secret", "Content-Type": "application/json" },
        body: JSON.stringify({ "transport-protocol": "udp", "internal-src-address": "198.51.100.20", "internal-src-port": port + (address === "192.0.2.1" ? 0 : 1000),
          "external-src-address": address, "external-src-port": port }) });
  assert.equal(pool()["ports-free"], 0);
  await becomes("Pool use", "simulated udp", /^100 %$/);
  await page.getByText("of the pool taken: simulated udp").locator("..").getByText("100 %").waitFor();
  assert.match(await newest("Pool use", "UTC"), /^\d\d:\d\d:\d\d$/);
  await page.emulateMedia({ colorScheme: "dark" });
  await page.evaluate(() => scrollTo(0, 0));
  await world.picture(page, "dashboard-dark");
});

test("nobody else is asked, and no request fails that need not", async () => {
  // An unfinished form, and a prefix that is none, are what the tests above have sent.
  const refused = page.complaints.filter((text) => text.includes("status of 400"));
  assert.deepEqual(page.complaints.filter((text) => !refused.includes(text)), []);
  assert.ok(refused.every((text) => /\/v1\/(mappings|users)/.test(text)));
  const looking = await signIn("write-secret");
  await looking.getByRole("button", { name: "Add a mapping" }).waitFor();
  await looking.locator(".tile").first().waitFor();
  assert.deepEqual(looking.complaints, []);
  await looking.context().close();
  assert.deepEqual([...page.hosts], [new URL(origin).host]);
});

test("a token that may only look is offered nothing else", async () => {
  const looking = await signIn("read-secret");
  await looking.getByText("this token may only look").waitFor();
  await looking.getByText(`${client}:5060`).first().waitFor();
  assert.equal(await looking.getByRole("button", { name: /Delete|Add/ }).count(), 0);
  await looking.setViewportSize({ width: 360, height: 740 });
  assert.equal(await looking.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0);
  await looking.getByRole("figure", { name: "Pool use" }).locator(".u-series").first().waitFor();
  await world.picture(looking, "dashboard-phone");
});

test("pages of others are refused, and ours asks for a token", async () => {
  const ask = (path, fields) => new Promise((resolve) => http.get(origin + path, { headers: fields, agent: false }, (response) => {
    response.resume();
    resolve(response.statusCode);
  }));
  assert.equal(await ask("/", {}), 200);
  const bundle = await (await fetch(`${origin}/dashboard.js`)).text();
  assert.match(bundle, /Copyright \(c\) 2022 Leon Sorokin[^]*The above copyright notice and this permission notice/, "uPlot's licence goes with it");
  assert.equal(await ask("/", { host: "dashboard.example.net" }), 403);
  assert.equal(await ask("/v1/status", {}), 401);
  const authorization = "Bearer read-secret";
  assert.equal(await ask("/v1/status", { authorization, origin }), 200);
  assert.equal(await ask("/v1/status", { authorization, origin: "http://dashboard.example.net" }), 403);
  assert.ok(readFileSync(join(world.pictures, "dashboard.png")).length > 1000);
});
