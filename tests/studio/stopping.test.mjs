// SPDX-License-Identifier: BSD-2-Clause
//
// What goes on by itself is ended from the page: sequences, and requests that are sent until they are answered.
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { after, before, test } from "node:test";

import { World } from "./world.mjs";

const world = new World();
let page;
let silent;
let file;

before(async () => {
  await world.server();
  page = await world.open(await world.browser(), await world.studio());
  silent = createSocket("udp4");
  await new Promise((resolve) => silent.bind(0, "127.0.0.1", resolve));
  world.later(() => silent.close());
  file = world.file("endless.json", JSON.stringify({ name: "Endless", step: [
    { name: "answered", send: { opcode: "announce" }, expect: { "result-code": 0 } },
    { name: "never", expect: { octets: "00" }, timeout: 3600 },
  ] }));
});
after(() => world.end());

const button = (name) => page.getByRole("button", { name, exact: true });
const answered = () => page.locator(".steps > li").first().getByRole("img", { name: "as expected", exact: true });

/** Presses a button, and waits until the server has done what it asks for. */
const pressed = (name, path) => Promise.all([page.waitForResponse((response) => response.url().endsWith(path)), button(name).click()]);

test("a sequence that runs is stopped, and can be run again", async () => {
  await page.locator('input[type="file"]').setInputFiles(file);
  await page.getByLabel("Name of step 2").waitFor();
  await button("Run").click();
  await answered().waitFor();
  assert.equal(await button("Run").isDisabled(), true);
  await button("Stop").click();
  await page.getByText("Stopped after 1 of 2 steps.").waitFor();
  await button("Run").click();
  await answered().waitFor();
});

test("one that an earlier page began is stopped too", async () => {
  await page.reload();
  await page.locator('input[type="file"]').setInputFiles(file);
  await page.getByLabel("Name of step 2").waitFor();
  await button("Run").click();
  await page.getByText("a sequence is running: stop it first").waitFor();
  await pressed("Stop", "/api/stop");
  await button("Run").click();
  await answered().waitFor();
  await pressed("Stop sending", "/api/stop");
  await page.getByText("Stopped after 1 of 2 steps.").waitFor();
  assert.deepEqual(page.complaints.filter((each) => !each.includes("409")), []);
});

test("what is sent until it is answered ends when it is stopped, and when the timeline is cleared", async () => {
  const draft = { opcode: "announce", "server-port": silent.address().port };
  const send = () => page.request.post(`${new URL(page.url()).origin}/api/send`, { data: { draft, retransmit: true } });
  for (const [name, path] of [["Clear", "/api/clear"], ["Stop sending", "/api/stop"]]) {
    for (let number = 0; number < 64; ++number) assert.equal((await send()).status(), 200);
    const refused = await send();
    assert.equal(refused.status(), 429);
    assert.match((await refused.json()).error, /64 requests are being retransmitted already: stop them first/);
    await pressed(name, path);
  }
  assert.equal((await send()).status(), 200);
});
