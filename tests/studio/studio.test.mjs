// SPDX-License-Identifier: BSD-2-Clause
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { client, run, World } from "./world.mjs";

const world = new World();
let browser;
let page;
let capture;
let captured;

before(async () => {
  captured = join(world.directory, "wire.pcap");
  capture = world.start("tcpdump", "-n", "-i", "lo", "-U", "--immediate-mode", "-Z", "root", "-w", captured, "udp");
  await new Promise((resolve, reject) => {
    capture.stderr.on("data", (said) => { if (String(said).includes("listening on")) resolve(); });
    capture.on("exit", () => reject(new Error("tcpdump ended")));
  });
  await world.server("third_party = true", '[[user]]\nprefix = "198.51.100.3/32"\nmappings_per_user_max = 1');
  browser = await world.browser();
  page = await world.open(browser, await world.studio());
});
after(() => world.end());

const octets = async (on = page) => (await on.locator(".grid [data-at]:not(.end)").allTextContents()).join("");
const origin = () => new URL(page.url()).origin;
// The server's announcements come in between, whenever it makes them.
const exchange = '.exchanges > li[data-kind]:not([data-kind="unasked"])';
const newest = () => page.locator(exchange).first();
const exchanges = () => page.locator(exchange).count();
const oneMore = (before) => page.waitForFunction(([all, count]) => document.querySelectorAll(all).length > count, [exchange, before]);

/** Sends what is composed, and waits for its answer's word. */
async function sendAndExpect(word) {
  const before = await exchanges();
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await oneMore(before);
  await newest().getByText(word, { exact: true }).waitFor();
}

const choose = (kind) => page.locator(".kinds").getByRole("radio", { name: kind, exact: true }).check();

/** Waits until the octets are as the test says. */
async function octetsBecome(fits, on = page) {
  for (let turn = 0; turn < 400; ++turn) {
    const now = await octets(on);
    if (fits(now)) return now;
    await on.waitForTimeout(25);
  }
  assert.fail(`the octets are ${await octets(on)}; ${await on.locator("#compose-problem").textContent()}`);
}

async function preset(name, step) {
  await page.getByRole("button", { name: "Presets…" }).click();
  await page.getByLabel("All figures").fill(name);
  await page.locator(`[data-preset="${name}"]`).getByRole("button", { name: step, exact: true }).first().click();
}

test("each opcode is composed, sent and answered", async () => {
  await world.picture(page, "compose");
  await sendAndExpect("MAP SUCCESS");
  for (const [kind, word] of [["PEER", "PEER SUCCESS"], ["ANNOUNCE", "ANNOUNCE SUCCESS"], ["NAT-PMP address", "NAT-PMP Success"],
    ["NAT-PMP UDP", "NAT-PMP Success"], ["Other opcode", "opcode 99 UNSUPP_OPCODE"]]) {
    await choose(kind);
    if (kind === "PEER") {
      await page.getByLabel("Remote peer's port").fill("12456");
      await page.getByLabel("Remote peer's address").fill("203.0.113.9");
    }
    await sendAndExpect(word);
  }
  await choose("MAP");
  assert.equal(await page.locator("#field-nonce").evaluate((input) => input.scrollWidth <= input.clientWidth), true, "all of the nonce is seen");
  assert.deepEqual(page.complaints, []);
});

test("what the form has stays when other opcodes are chosen", async () => {
  await preset("flow-23", "Figure 23: MAP");
  await page.getByText("Make it wrong").click();
  await page.getByLabel("Changed octets").fill("2=80");
  const fields = () => page.locator(".compose .fields input").evaluateAll((all) => all.map((each) => `${each.id}=${each.value}`));
  const filled = await fields();
  const made = await octetsBecome((now) => now.slice(4, 6) === "80");
  const isAsBefore = async () => {
    await octetsBecome((now) => now === made);
    assert.deepEqual(await fields(), filled);
  };
  await choose("ANNOUNCE");
  // A lifetime in there would be a mapping's.
  await octetsBecome((now) => now.slice(0, 16) === "0200000000000000");
  await choose("MAP");
  await isAsBefore();
  await choose("Octets");
  await page.waitForFunction((octets) => document.querySelector("#field-raw")?.value.replaceAll(" ", "") === octets, made);
  assert.equal(await octetsBecome((now) => now === made), made);
  await choose("MAP");
  await isAsBefore();
  await page.locator(".kinds").getByRole("radio", { name: "MAP", exact: true }).focus();
  const kinds = await page.locator(".kinds input").count();
  for (let turn = 0; turn < kinds; ++turn) await page.keyboard.press("ArrowRight");
  await isAsBefore();
  await preset("flow-02", "Figure 2: MAP");
});

test("half a server's name is not looked up, and what is no port is named", async () => {
  const composed = [];
  const note = (request) => { if (request.url().endsWith("/api/compose")) composed.push(request.postDataJSON()); };
  page.on("request", note);
  const answer = () => page.waitForResponse((response) => response.url().endsWith("/api/compose"));
  await page.locator("#server").fill("");
  await page.keyboard.type("localhost");
  await Promise.all([answer(), page.keyboard.press("Tab")]);
  assert.deepEqual(composed.map((draft) => draft.server), ["localhost"]);
  await page.keyboard.type("http");
  await page.keyboard.press("Tab");
  await page.locator("#compose-problem").getByText("'http' is no UDP port: give a number from 1 to 65535").waitFor();
  await page.getByLabel("Port", { exact: true }).fill("");
  await page.locator("#server").fill("127.0.0.1");
  await Promise.all([answer(), page.keyboard.press("Tab")]);
  page.off("request", note);
});

test("octets follow the form, and the form the octets", async () => {
  await choose("MAP");
  await page.getByLabel("Internal port", { exact: true }).fill("4660");
  const made = await octetsBecome((now) => now.slice(80, 84) === "1234");
  // Octet 41 is in the internal port.
  await page.locator('.grid [data-at="41"]').click();
  await page.locator(".tree [data-chosen]").getByText("Internal Port", { exact: true }).waitFor();
  await page.keyboard.type("ff");
  await octetsBecome((now) => now === made.slice(0, 82) + "ff" + made.slice(84));
  await page.waitForFunction(() => document.querySelector("#field-internal-port").value === String(0x12ff));
  // A reserved octet has no field in the form: it becomes a changed octet.
  await page.locator('.grid [data-at="2"]').click();
  await page.keyboard.type("80");
  await page.waitForFunction(() => document.querySelector("#field-set")?.value === "2=80");
  await page.keyboard.press("End");
  await page.keyboard.press("Backspace");
  await page.waitForFunction(() => document.querySelector("#field-size")?.value === "59");
  await world.picture(page, "octets");
  await sendAndExpect("MAP MALFORMED_REQUEST");
  // The field of a row shows its octets.
  await page.locator(".tree").getByRole("button", { name: "Version" }).first().click();
  assert.equal(await page.locator(".grid .in-field").count(), 1);
});

test("options are added, ordered and removed", async () => {
  await preset("flow-02", "Figure 2: MAP");
  const option = page.getByLabel("Option to add");
  for (const name of ["DESCRIPTION", "FILTER"]) {
    await option.selectOption({ label: name });
    await page.getByRole("button", { name: "Add option" }).click();
  }
  await octetsBecome((now) => now.slice(120, 122) === "80" && now.slice(144, 146) === "03");
  await page.getByRole("button", { name: "Move FILTER up" }).click();
  await octetsBecome((now) => now.slice(120, 122) === "03" && now.slice(168, 170) === "80");
  await sendAndExpect("MAP SUCCESS");
  await page.getByRole("button", { name: "Remove DESCRIPTION" }).click();
  await octetsBecome((now) => now.length === 168);
});

test("packets of the presets are what the command line sends", async () => {
  for (const [name, step, word] of [["flow-23", "Figure 23: MAP", "MAP SUCCESS"], ["flow-32", "Figure 32: MAP", "MAP MALFORMED_REQUEST"],
    ["flow-38", "Figure 38: MAP of SCTP", "MAP UNSUPP_PROTOCOL"], ["flow-53", "Figure 53: MAP", "MAP MALFORMED_REQUEST"],
    ["flow-75", "Figure 75: MAP of version 1", "MAP UNSUPP_VERSION"],
    ["flow-45", "Figure 45: MAP", "MAP SUCCESS"], ["flow-68", "Figure 68: PEER", "PEER CANNOT_PROVIDE_EXTERNAL"],
    ["flow-36", "Figure 36: MAP", "MAP NO_RESOURCES"], ["slides-camera", "MAP of TCP port 8080", "MAP NOT_AUTHORIZED"]]) {
    await preset(name, step);
    await sendAndExpect(word);
  }
});

test("every packet of every preset is shown as its file has it", async () => {
  const { compared, wrong } = await page.evaluate(async (client) => {
    const shown = () => [...document.querySelectorAll(".grid [data-at]:not(.end)")].map((each) => each.textContent).join("");
    const compose = async (draft) => (await (await fetch("/api/compose",
      { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(draft) })).json()).octets;
    const found = { compared: 0, wrong: [] };
    for (const { file, step: steps } of (await (await fetch("/api/about")).json()).presets)
      for (const { name, send: draft } of steps) {
        if (!draft) continue;
        const send = JSON.parse(JSON.stringify(draft).replaceAll("${client}", client));
        // What an earlier step saves is not there yet; a nonce that is not given is another each time.
        if (JSON.stringify(send).includes("${")) continue;
        const made = await compose(send);
        if (made !== await compose(send)) continue;
        [...document.querySelectorAll(`[data-preset="${file}"] button`)].find((each) => each.textContent === name).click();
        for (let turn = 0; turn < 500 && shown() !== made; ++turn) await new Promise((resolve) => setTimeout(resolve, 20));
        if (shown() !== made) found.wrong.push(`${file}, ${name}: ${shown()} and not ${made}`);
        ++found.compared;
      }
    return found;
  }, client);
  assert.deepEqual(wrong, []);
  assert.ok(compared >= 40, `${compared} packets`);
});

test("other result codes, by packets that are wrong", async () => {
  const ask = (draft) => page.request.post(`${origin()}/api/send`, { data: { draft } });
  for (const [draft, word] of [
    [{ options: [{ option: "100:00" }] }, "MAP UNSUPP_OPTION"],
    [{ options: [{ option: "3:0080" }] }, "MAP MALFORMED_OPTION"],
    [{ "client-address": "192.0.2.77" }, "MAP ADDRESS_MISMATCH"],
    [{ options: Array.from({ length: 12 }, (_, index) => ({ filter: `203.0.113.${index}/32,0` })) }, "MAP EXCESSIVE_REMOTE_PEERS"],
    [{ "internal-address": "198.51.100.3", "internal-port": 7001 }, "MAP SUCCESS"],
    [{ "internal-address": "198.51.100.3", "internal-port": 7002 }, "MAP USER_EX_QUOTA"],
  ]) {
    const before = await exchanges();
    assert.equal((await ask({ opcode: "map", "internal-port": 7000, ...draft })).status(), 200);
    await oneMore(before);
    await newest().getByText(word, { exact: true }).waitFor();
  }
});

test("what is not answered is sent again, and what the server says to all hosts is heard", async () => {
  await page.locator(".exchanges").getByText("ANNOUNCE SUCCESS, to all hosts").first().waitFor();
  await choose("ANNOUNCE");
  const silent = createSocket("udp4");
  await new Promise((resolve) => silent.bind(0, "127.0.0.1", resolve));
  world.later(() => silent.close());
  await page.getByLabel("Port", { exact: true }).fill(String(silent.address().port));
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await newest().getByText("no answer yet", { exact: false }).waitFor();
  await page.getByLabel("until answered").check();
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await newest().locator("summary").focus();
  // After 3 s (RFC 6887 s8.1.1).
  await newest().getByText("sent 3 times", { exact: false }).waitFor();
  assert.equal(await newest().locator("summary:focus").count(), 1, "where the keyboard is, it stays");
  await newest().getByText("no answer yet", { exact: false }).waitFor();
  await page.getByRole("button", { name: "Stop sending" }).click();
  await page.getByLabel("until answered").uncheck();
  await page.getByLabel("Port", { exact: true }).fill("");
});

test("an exchange shows both packets, and where they differ", async () => {
  await preset("flow-02", "Figure 2: MAP");
  await sendAndExpect("MAP SUCCESS");
  await newest().locator("summary").click();
  const row = newest().locator("tr.differs", { hasText: "Assigned External IP Address" });
  assert.match(await row.textContent(), /0\.0\.0\.0.*192\.0\.2\.1/);
  assert.match(await newest().locator("tr.differs", { hasText: "Lifetime" }).textContent(), /36000 s.*20000 s/);
  for (const name of ["Version", "Opcode", "Epoch Time", "Result Code", "Mapping Nonce"])
    assert.equal(await newest().locator("tr.differs", { hasText: name }).count(), 0, name);
  assert.match(await newest().locator("tr", { hasText: "Opcode" }).textContent(), /RFC 6887 s7.1RFC 6887 s7.2/);
  // All of the table is to be in the picture.
  const { width, height } = page.viewportSize();
  await page.setViewportSize({ width, height: 1180 });
  await page.evaluate(() => scrollTo(0, 0));
  await world.picture(page, "timeline");
  await page.setViewportSize({ width, height });
  await preset("flow-75", "Figure 75: MAP of version 1");
  await sendAndExpect("MAP UNSUPP_VERSION");
  await newest().locator("summary").click();
  assert.match(await newest().locator("tr.differs", { hasText: "Version" }).textContent(), /Version1 .*Version2/);
});

test("of NAT-PMP what says the same is side by side", async () => {
  await choose("NAT-PMP UDP");
  await page.getByLabel("Internal port", { exact: true }).fill("5000");
  await page.getByLabel("Suggested external port").fill("0");
  await page.getByLabel("Requested lifetime").fill("36000");
  await sendAndExpect("NAT-PMP Success");
  await newest().locator("summary").click();
  const row = (name, more = "") => newest().locator(`tr${more}`, { hasText: name });
  assert.match(await row("Port Mapping Lifetime", ".differs").textContent(), /36000 s.*20000 s/);
  assert.match(await row("External Port", ".differs").textContent(), /Suggested External Port0Mapped External Port[1-9]/);
  assert.match(await row("Internal Port").textContent(), /^4, 8Internal Port5000Internal Port5000/);
  assert.equal(await newest().locator("tr.differs").count(), 2);
});

test("a sequence is made, run, saved, and run by the command line", async () => {
  await preset("flow-02", "Figure 2: MAP");
  await sendAndExpect("MAP SUCCESS");
  await newest().locator("summary").click();
  await newest().getByRole("button", { name: "Add as step, expecting this answer" }).click();
  const expected = page.getByLabel("Expected of step 1");
  await expected.waitFor();
  assert.match(await expected.inputValue(), /result-code = SUCCESS\n.*assigned-external-port = 3938/s);
  await page.getByRole("button", { name: "Add the packet as a step" }).click();
  await page.getByLabel("Expected of step 2").fill("result-code = NO_RESOURCES");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByText("1 of 2 steps were not answered as expected.").waitFor();
  await world.picture(page, "sequence");
  await page.getByLabel("Expected of step 2").fill("result-code = 0\nlifetime = 1..20000");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByText("All 2 steps were answered as expected.").waitFor();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Save" }).click()]);
  const file = join(world.directory, "mine.json");
  await download.saveAs(file);
  const said = run(join(process.env.PORTOLAN_BUILD, "apps", "portolan"), "send", "--sequence", file, "--server", "127.0.0.1", "--internal-address", client);
  assert.match(said, /2 steps, 0 failed/);
  await page.getByRole("button", { name: "Remove step 1" }).click();
  await page.locator('input[type="file"]').setInputFiles(file);
  await page.getByLabel("Name of step 2").waitFor();
  assert.equal(await page.getByLabel("Name of step 1").inputValue(), "MAP 1");
});

test("a sequence in TOML is opened and changed", async () => {
  const wrong = world.file("wrong.toml", "name = ");
  const input = page.locator('input[type="file"]');
  await input.setInputFiles(wrong);
  await page.getByText(/^wrong.toml: line 1/).waitFor();
  await input.setInputFiles(new URL("../../apps/portolan/sequences/flow-53.toml", import.meta.url).pathname);
  await page.locator(".sequence").getByText("Before: THIRD_PARTY is allowed").waitFor();
  await page.getByRole("button", { name: "Compose from step 1" }).click();
  // THIRD_PARTY, with this host's address.
  await octetsBecome((now) => now.endsWith("0100001000000000000000000000ffffc6336401"));
  await choose("ANNOUNCE");
  await page.getByRole("button", { name: "Remove THIRD_PARTY" }).click();
  await page.getByRole("button", { name: "Replace step 1 by the packet" }).click();
  await page.getByLabel("Expected of step 1").fill("result-code = SUCCESS");
  await page.locator(".steps summary").click();
  await page.getByLabel("Saved of step 1").fill("epoch = epoch-time, word = result-code");
  await page.getByLabel("Timeout, s, step 1").fill("60");
  await page.getByLabel("Wait before, s, step 1").fill("soon");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByText('step 1: wait: "soon" is no time: give seconds from 0 to 3600').waitFor();
  await page.getByLabel("Wait before, s, step 1").fill("0");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByText("All 1 steps were answered as expected.").waitFor();
  await page.getByRole("button", { name: "Add a step that listens" }).click();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Save" }).click()]);
  const [made, heard] = JSON.parse(readFileSync(await download.path(), "utf8")).step;
  assert.deepEqual([made.send.opcode, made.wait, made.timeout, made.save], ["announce", 0, 60, { epoch: "epoch-time", word: "result-code" }]);
  assert.deepEqual(Object.keys(heard), ["name", "expect"]);
});

test("a preset's sequence runs on the page", async () => {
  await page.getByRole("button", { name: "Presets…" }).click();
  await page.getByLabel("All figures").fill("flow-57");
  await world.picture(page, "presets");
  await page.locator('[data-preset="flow-57"]').getByRole("button", { name: "All steps as a sequence" }).click();
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByText("All 2 steps were answered as expected.").waitFor();
});

test("the keyboard alone is enough", async () => {
  await page.keyboard.press("Control+k");
  await page.keyboard.type("figure 61");
  // To the button of the only preset left.
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.locator("dialog").waitFor({ state: "hidden" });
  await octetsBecome((now) => now.length === 48);
  const before = await exchanges();
  await page.keyboard.press("Control+Enter");
  await oneMore(before);
  await newest().getByText("ANNOUNCE SUCCESS", { exact: true }).waitFor();
  // Every control has a name.
  const nameless = await page.evaluate(() => [...document.querySelectorAll("button, a[href], input:not([hidden]), select, textarea")]
    .filter((each) => !each.textContent.trim() && !each.getAttribute("aria-label") && !(each.labels?.length) && !each.closest("[hidden]"))
    .map((each) => each.outerHTML));
  assert.deepEqual(nameless, []);
  // The section that a field is from is a link behind it.
  await page.locator("#field-lifetime").focus();
  await page.keyboard.press("Tab");
  assert.match(await page.locator("a:focus").getAttribute("href"), /^https:\/\/www.rfc-editor.org\/rfc\/rfc6887#section-/);
});

/** The page on a screen that is small and is touched. */
async function openOnPhone() {
  const phone = await world.open(browser, null, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, colorScheme: "dark" });
  await phone.context().addCookies(await page.context().cookies());
  await phone.goto(origin());
  return phone;
}

const view = (phone, name) => phone.locator(".tabs").getByRole("button", { name }).tap();

test("on a phone nothing sticks out, and each view is there", async () => {
  const phone = await openOnPhone();
  for (const name of ["Compose", "Octets", "Timeline", "Sequence"]) {
    await view(phone, name);
    await phone.getByRole("heading", { name, exact: true }).waitFor();
    const wide = await phone.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(wide, 0, `${name} is ${wide} points too wide`);
    await world.picture(phone, `phone-${name.toLowerCase()}`);
  }
  await view(phone, "Compose");
  await phone.getByLabel("Internal port", { exact: true }).fill("9090");
  await phone.getByRole("button", { name: "Send", exact: true }).tap();
  await view(phone, "Timeline");
  await phone.locator(exchange).first().getByText("MAP SUCCESS", { exact: true }).waitFor();
  assert.deepEqual(phone.complaints, []);
  await phone.context().close();
});

test("octets are edited by touch and a phone's keyboard", async () => {
  const phone = await openOnPhone();
  await view(phone, "Octets");
  const made = await octetsBecome((now) => now.length === 120, phone);
  const octet = (at) => phone.locator(`.grid [data-at="${at}"]`);
  // What a phone opens its keyboard for is focused, over the octet, so that it is not under the keyboard.
  const isEdited = async (at) => {
    const focused = phone.locator("input:focus");
    assert.equal(await focused.count(), 1, "an input has the focus");
    assert.deepEqual(await focused.evaluate((input) => [input.type, input.inputMode, input.readOnly, input.disabled]), ["text", "text", false, false]);
    const [there, here] = await Promise.all([focused.boundingBox(), octet(at).boundingBox()]);
    for (const side of ["x", "y", "width", "height"]) assert.ok(Math.abs(there[side] - here[side]) <= 2, `${side}: ${there[side]} and ${here[side]}`);
    assert.ok(here.y >= 0 && here.y + here.height <= phone.viewportSize().height);
  };
  await octet(41).tap();
  await isEdited(41);
  // Such keyboards compose words, and press no key with a name.
  const keyboard = await phone.context().newCDPSession(phone);
  const composed = (text) => keyboard.send("Input.imeSetComposition", { text, selectionStart: text.length, selectionEnd: text.length });
  await composed("F");
  await octetsBecome((now) => now === made.slice(0, 82) + "f" + made.slice(83), phone);
  await composed("F0");
  await composed("F0a");
  await keyboard.send("Input.insertText", { text: "F0a7" });
  await octetsBecome((now) => now === made.slice(0, 82) + "f0a7" + made.slice(86), phone);
  await isEdited(43);
  const backspace = () => keyboard.send("Input.dispatchKeyEvent",
    { type: "rawKeyDown", key: "Unidentified", windowsVirtualKeyCode: 229, commands: ["deleteBackward"] });
  await backspace();
  await octetsBecome((now) => now === made.slice(0, 82) + "f0" + made.slice(86), phone);
  await keyboard.send("Input.insertText", { text: "+" });
  await octetsBecome((now) => now === made.slice(0, 82) + "f000" + made.slice(86), phone);
  // A reserved octet, and one behind the last.
  await octet(2).tap();
  await isEdited(2);
  await keyboard.send("Input.insertText", { text: "80" });
  await octet(59).tap();
  await keyboard.send("Input.insertText", { text: "0001" });
  await octetsBecome((now) => now === `${made.slice(0, 4)}80${made.slice(6, 82)}f000${made.slice(86, 118)}0001`, phone);
  await world.picture(phone, "phone-octets-edited");
  await view(phone, "Compose");
  assert.equal(await phone.getByLabel("Internal port", { exact: true }).inputValue(), String(parseInt(`${made.slice(80, 82)}f0`, 16)));
  await phone.getByRole("button", { name: "Send", exact: true }).tap();
  await view(phone, "Timeline");
  await phone.locator(exchange).first().getByText("MAP MALFORMED_REQUEST", { exact: true }).waitFor();
  assert.deepEqual(phone.complaints, []);
  await phone.context().close();
});

/** How much lighter the one colour is than the other (WCAG 2.2, contrast ratio), of what is written and framed in the page's inputs. */
const contrasts = () => page.evaluate(() => {
  const light = (color) => color.match(/[\d.]+/g).slice(0, 3).map((each) => each / 255)
    .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4))
    .reduce((sum, each, index) => sum + each * [0.2126, 0.7152, 0.0722][index], 0);
  const ratio = (...colors) => {
    const [more, less] = colors.map(light).sort((one, other) => other - one);
    return (more + 0.05) / (less + 0.05);
  };
  const input = document.querySelector("#server-port");
  const { backgroundColor, borderTopColor } = getComputedStyle(input);
  const { color, opacity } = getComputedStyle(input, "::placeholder");
  return { placeholder: ratio(color, backgroundColor), opacity, frame: ratio(borderTopColor, backgroundColor) };
});

async function isReadable() {
  const { placeholder, opacity, frame } = await contrasts();
  assert.equal(opacity, "1");
  assert.ok(placeholder >= 4.5 && frame >= 3, `${placeholder}, ${frame}`);
}

test("light and dark", async () => {
  await isReadable();
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const turned = (from) => page.waitForFunction((old) => getComputedStyle(document.body).backgroundColor !== old, from);
  const light = await background();
  await page.emulateMedia({ colorScheme: "dark" });
  await turned(light);
  await world.picture(page, "dark");
  await isReadable();
  const dark = await background();
  await page.locator("#theme").click();
  assert.equal(await background(), light, "light is chosen");
  await page.locator("#theme").click();
  await page.emulateMedia({ colorScheme: "light" });
  assert.equal(await background(), dark, "dark is chosen");
  await page.locator("#theme").click();
  await turned(dark);
  assert.equal(await background(), light, "as the system is");
});

test("what was sent and received is what tshark captured", async () => {
  const timeline = JSON.parse(await (await page.request.get(`${origin()}/api/export?format=json`)).text())["portolan-timeline"];
  const packets = timeline.filter((entry) => entry.octets !== undefined);
  const file = join(world.directory, "exported.pcap");
  writeFileSync(file, await (await page.request.get(`${origin()}/api/export?format=pcap`)).body());
  const payloads = (name) => run("tshark", "-n", "-r", name, "-T", "fields", "-e", "udp.payload").trim().split("\n");
  assert.deepEqual(payloads(file), packets.map((packet) => packet.octets));
  // The command line's packets are in there too; announcements come in by another socket, so out of turn.
  const ours = packets.filter((packet) => packet.kind !== "announced").map((packet) => packet.octets);
  let seen = [];
  for (let turn = 0; turn < 400 && seen.length < ours.length; ++turn) {
    seen = payloads(captured);
    await page.waitForTimeout(25);
  }
  let at = 0;
  for (const each of seen) if (each === ours[at]) ++at;
  assert.equal(at, ours.length, `the wire has not had ${ours[at]}`);
  assert.ok(ours.length > 30);
});

const map = (name) => ["portcontrol.map." + name, "portcontrol.peer." + name];
/** Fields by our names and tshark's; a packet has at most one of several, or they follow each other. */
const tsharkFields = {
  "Version": ["portcontrol.version", "nat-pmp.version"],
  "Opcode": ["portcontrol.opcode", "nat-pmp.opcode"],
  "Requested Lifetime": ["portcontrol.lifetime_req"],
  "PCP Client's IP Address": ["portcontrol.client_ip"],
  "Result Code": ["portcontrol.result_code", "nat-pmp.result_code"],
  "Lifetime": ["portcontrol.lifetime_rsp"],
  "Epoch Time": ["portcontrol.epoch_time"],
  "Mapping Nonce": map("nonce"),
  "Protocol": map("protocol"),
  "Internal Port": [...map("internal_port"), "nat-pmp.internal_port"],
  "Suggested External Port": [...map("req_sug_external_port"), "nat-pmp.external_port"],
  "Suggested External IP Address": map("req_sug_external_ip"),
  "Assigned External Port": map("rsp_assigned_external_port"),
  "Assigned External IP Address": map("rsp_assigned_ext_ip"),
  "Remote Peer Port": ["portcontrol.peer.remote_peer_port", "portcontrol.option.filter.remote_peer_port"],
  "Remote Peer IP Address": ["portcontrol.peer.remote_peer_ip", "portcontrol.option.filter.remote_peer_ip"],
  "Option Code": ["portcontrol.option.code"],
  "Option Length": ["portcontrol.option.length"],
  "Internal IP Address": ["portcontrol.option.third_party.internal_ip"],
  "Prefix Length": ["portcontrol.option.filter.prefix_length"],
  "Seconds Since Start of Epoch": ["nat-pmp.sssoe"],
  "External IPv4 Address": ["nat-pmp.external_ip"],
  "Mapped External Port": ["nat-pmp.external_port"],
  "Requested Port Mapping Lifetime": ["nat-pmp.pml"],
  "Port Mapping Lifetime": ["nat-pmp.pml"],
};

/** Of all that goes by one name in a packet, as tshark prints it. */
function asTshark(fields, name) {
  return fields.filter((field) => field.name === name).map(({ value }) => {
    if (name === "Mapping Nonce") return value;
    if (name.endsWith("Address")) return /\((::ffff:.*)\)/.exec(value)?.[1] ?? value;
    return /^\d+/.exec(value)[0];
  }).join(",");
}

/** What tshark and we can be expected to agree on: it misses the padding of options, and of an error that repeats a shorter request it goes on behind the header. */
function isComparable(fields) {
  const isPadded = fields.some((field) => field.name === "Option Length" && Number(field.value) % 4 !== 0);
  return !isPadded && !fields.some((field) => field.kind === "fault" || field.kind === "octets");
}

test("what is decoded is what tshark decodes", async () => {
  const timeline = JSON.parse(await (await page.request.get(`${origin()}/api/export?format=json`)).text())["portolan-timeline"];
  const file = join(world.directory, "again.pcap");
  writeFileSync(file, await (await page.request.get(`${origin()}/api/export?format=pcap`)).body());
  const names = [...new Set(Object.values(tsharkFields).flat())];
  const rows = run("tshark", "-n", "-r", file, "-T", "fields", "-E", "separator=|", ...names.flatMap((name) => ["-e", name])).split("\n");
  const packets = timeline.filter((entry) => entry.octets !== undefined);
  const compared = new Set();
  packets.forEach(({ octets: sent, fields }, index) => {
    if (!isComparable(fields)) return;
    const values = rows[index].split("|");
    for (const [name, theirs] of Object.entries(tsharkFields)) {
      const ours = asTshark(fields, name);
      if (ours === "") continue;
      compared.add(name);
      const others = theirs.map((each) => values[names.indexOf(each)]).filter(Boolean).join(",");
      // Of NAT-PMP's answers it has the whole octet.
      assert.equal(ours, name === "Opcode" ? String(Number(others) & 0x7f) : others, `${name} of ${sent}`);
    }
  });
  assert.deepEqual(Object.keys(tsharkFields).filter((name) => !compared.has(name)), []);
});

test("the exported test compiles, passes here, and fails elsewhere", async () => {
  await page.getByRole("button", { name: "Clear" }).click();
  await newest().waitFor({ state: "detached" });
  await preset("flow-38", "Figure 38: MAP of SCTP");
  await sendAndExpect("MAP UNSUPP_PROTOCOL");
  const source = join(world.directory, "exchange_test.cpp");
  writeFileSync(source, await (await page.request.get(`${origin()}/api/export?format=test`)).body());
  assert.equal(readFileSync(source, "utf8").match(/^TEST\(/gm).length, 1);
  const made = join(world.directory, "exchange_test");
  run("g++", "-std=c++20", source, "-lgtest", "-lgtest_main", "-o", made);
  run("env", "PCP_SERVER=198.51.100.1", made);
  // From another address than the one that was recorded here.
  run("env", "PCP_SERVER=198.51.100.2", made);
  assert.throws(() => run("env", "PCP_SERVER=198.51.100.1", "PCP_PORT=1", made));
});

test("nothing else was asked, and nothing complained", () => {
  assert.deepEqual([...page.hosts], [new URL(page.url()).host]);
  // What is typed wrong is refused.
  assert.deepEqual(page.complaints.filter((each) => !each.includes("422")), []);
});
