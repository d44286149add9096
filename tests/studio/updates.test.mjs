// SPDX-License-Identifier: BSD-2-Clause
//
// What nobody asked for at that moment: a NAT64 that is gone, updates of mappings, announcements.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { client, client6, end, line, program, run, World } from "./world.mjs";

let browser;
const world = new World();
before(async () => { browser = await world.browser(); });
after(() => world.end());

const asked = '.exchanges > li[data-kind]:not([data-kind="unasked"])';
const exchanges = (page) => page.locator(asked);
/** The newest first; updates are sent several times. */
const unasked = (page, word) => page.locator('.exchanges > li[data-kind="unasked"]', { hasText: word });

/** Sends the MAP of the form, and waits for its answer's word. */
async function map(page, internalPort, word) {
  await page.getByLabel("Internal port", { exact: true }).fill(String(internalPort));
  const before = await exchanges(page).count();
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await page.waitForFunction(([all, count]) => document.querySelectorAll(all).length > count, [asked, before]);
  await exchanges(page).first().getByText(word, { exact: true }).waitFor();
}

test("a NAT64 that is gone is a NETWORK_FAILURE, until it is back", async () => {
  const here = new World();
  try {
    const socket = `unix:${here.directory}/nat64.sock`;
    const nat64 = `runtime_directory = "${here.directory}"\n[nat64]\nprefix = "2001:db8:64:ff9b::/96"\npool = ["192.0.2.14"]\n` +
      `[control]\nlisten = ["${socket}"]\n`;
    const gateway = await here.daemon("portolan-nat64", nat64);
    const server = await here.daemon("portoland", `${here.settings("nat64-remote", "")}[nat64_remote]\nconnect = "${socket}"\n`);
    const page = await here.open(browser, await here.studio("::1", client6));
    await map(page, 8080, "MAP SUCCESS");
    await end(gateway);
    await map(page, 8081, "MAP NETWORK_FAILURE");
    assert.equal(await exchanges(page).first().getAttribute("data-kind"), "bad");
    await exchanges(page).first().locator("summary").click();
    await exchanges(page).first().locator("tr", { hasText: "Result Code" }).getByText("7 (NETWORK_FAILURE)").waitFor();
    await world.picture(page, "network-failure");
    await Promise.all([line(server.stderr, "has all that was promised"), here.daemon("portolan-nat64", nat64)]);
    await map(page, 8082, "MAP SUCCESS");
    assert.deepEqual(page.complaints, []);
    await page.context().close();
  } finally {
    await here.end();
  }
});

test("updates and announcements are seen as they arrive", async () => {
  const management = `unix:${world.directory}/management.sock`;
  const more = `[management]\nlisten = ["${management}"]\n`;
  const server = await world.server("announcements = 1", more);
  const page = await world.open(browser, await world.studio());
  await page.locator(".state").getByText("live").waitFor();
  await page.getByLabel("Suggested external port").fill("8080");
  await map(page, 8080, "MAP SUCCESS");
  await exchanges(page).first().getByText("192.0.2.1 : 8080", { exact: false }).waitFor();
  assert.equal(await unasked(page, "MAP").count(), 0);

  // The external address changes: the mapping moves (RFC 6887 s14.2), and the epoch begins anew (s14.1.3).
  const announcements = unasked(page, "ANNOUNCE SUCCESS, to all hosts");
  const announced = await announcements.count();
  world.file("portoland.toml", world.simulated("announcements = 1", more, ["192.0.2.2"]));
  server.kill("SIGHUP");
  const moved = unasked(page, "MAP SUCCESS, unasked").filter({ hasText: "192.0.2.2 : 8080" }).last();
  await moved.waitFor();
  await announcements.nth(announced).waitFor();
  assert.equal(await exchanges(page).count(), 1, "none of it is taken for another answer");
  assert.equal(await exchanges(page).first().getByText("answers", { exact: false }).count(), 0);
  await moved.locator("summary").click();
  await moved.locator("tr", { hasText: "Assigned External IP Address" }).getByText("192.0.2.2").waitFor();
  await world.picture(page, "updates");

  // The operator takes its place, and deletes another.
  const control = (...words) => run(program("portolanctl"), "--server", management, "--yes", ...words);
  control("add", "map", "tcp", client, "8080", "9000", "192.0.2.2");
  await unasked(page, "MAP NETWORK_FAILURE, unasked").first().waitFor();
  await map(page, 8443, "MAP SUCCESS");
  control("delete", "map", "tcp", client, "8443");
  const deleted = unasked(page, "MAP SUCCESS, unasked").filter({ hasText: "tcp 8443" }).last();
  await deleted.locator("summary").click();
  await deleted.locator("tr", { hasText: "Lifetime" }).getByText(/^0\b/).waitFor();
  assert.deepEqual(page.complaints, []);
});
