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
let browser;
let page;
let origin;

before(async () => {
  const tokens = join(world.directory, "tokens");
  const digest = (secret) => createHash("sha256").update(secret).digest("hex");
  writeFileSync(tokens, `looks read ${digest("read-secret")}\nchanges write ${digest("write-secret")}\n`);
  chmodSync(tokens, 0o600);
  const server = await world.server("minimum_lifetime = 1", `[management]\nlisten = ["tcp:127.0.0.1:0", "unix:${world.directory}/management.sock"]\ntokens = "${tokens}"\n`);
  origin = `http://${/at tcp:(\S+)/.exec(server.said)[1]}`;
  browser = await world.browser();
});
after(() => world.end());

const map = (...words) => run(portolan, "map", ...words, "--server", "127.0.0.1", "--internal-address", client);
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
  await page.getByText("None.").waitFor();
  map("tcp", "8080", "--lifetime", "4");
  await page.locator(".events").getByText("mapping-created").waitFor();
  await row(`${client}:8080`).waitFor();
  await page.locator(".events").getByText("mapping-expired").waitFor();
  await row(`${client}:8080`).waitFor({ state: "detached" });
});

test("what portolanctl makes appears, and goes as it expires or is deleted", async () => {
  const control = (...words) => run(program("portolanctl"), "--server", `unix:${world.directory}/management.sock`, "--yes", ...words);
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

test("mappings are searched, added and deleted, with a question before", async () => {
  map("udp", "5060", "--lifetime", "600");
  await page.getByRole("button", { name: "Add a mapping" }).click();
  await page.getByLabel("internal src address").fill("198.51.100.9");
  await page.getByLabel("internal src port").fill("80");
  await page.getByRole("dialog").getByRole("button", { name: "Add", exact: true }).click();
  await page.getByRole("alert").filter({ hasText: "external-src-port" }).waitFor();
  await page.getByLabel("external src port").fill("8080");
  await page.getByLabel("description").fill("<b>door</b>");
  await page.getByRole("dialog").getByRole("button", { name: "Add", exact: true }).click();
  await row("198.51.100.9:80").getByText("<b>door</b>").waitFor();
  await page.getByLabel("Search mappings").fill("udp");
  await row("198.51.100.9:80").waitFor({ state: "detached" });
  await row(`${client}:5060`).waitFor();
  await page.getByLabel("Search mappings").fill("");
  await row("198.51.100.9:80").waitFor();
  await world.picture(page, "dashboard");
  await page.getByRole("button", { name: "Delete tcp 198.51.100.9:80" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  await row("198.51.100.9:80").waitFor();
  await page.getByRole("button", { name: "Delete tcp 198.51.100.9:80" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await row("198.51.100.9:80").waitFor({ state: "detached" });
});

test("rates are plotted", async () => {
  await page.waitForFunction(() => document.querySelectorAll(".u-legend .u-series").length >= 5);
  for (let number = 0; number < 20; ++number) map("tcp", String(9000 + number), "--lifetime", "600");
  await page.getByRole("figure", { name: "Answers by result code" }).getByText("SUCCESS").waitFor();
  await page.emulateMedia({ colorScheme: "dark" });
  await world.picture(page, "dashboard-dark");
  assert.deepEqual(page.complaints.filter((text) => !text.includes("status of 400")), []);
  assert.deepEqual([...page.hosts], [new URL(origin).host]);
});

test("a token that may only look is offered nothing else", async () => {
  const looking = await signIn("read-secret");
  await looking.getByText("this token may only look").waitFor();
  await looking.getByText(`${client}:5060`).first().waitFor();
  assert.equal(await looking.getByRole("button", { name: /Delete|Add/ }).count(), 0);
  await looking.setViewportSize({ width: 360, height: 740 });
  assert.equal(await looking.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0);
  await world.picture(looking, "dashboard-phone");
});

test("pages of others are refused, and ours asks for a token", async () => {
  const ask = (path, fields) => new Promise((resolve) => http.get(origin + path, { headers: fields, agent: false }, (response) => {
    response.resume();
    resolve(response.statusCode);
  }));
  assert.equal(await ask("/", {}), 200);
  assert.equal(await ask("/", { host: "dashboard.example.net" }), 403);
  assert.equal(await ask("/v1/status", {}), 401);
  const authorization = "Bearer read-secret";
  assert.equal(await ask("/v1/status", { authorization, origin }), 200);
  assert.equal(await ask("/v1/status", { authorization, origin: "http://dashboard.example.net" }), 403);
  assert.ok(readFileSync(join(world.pictures, "dashboard.png")).length > 1000);
});
