// SPDX-License-Identifier: BSD-2-Clause
//
// A portoland and a studio in this network namespace, and a browser that has opened it.
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

export const build = process.env.PORTOLAN_BUILD;
export const client = "198.51.100.1";
/** Milliseconds for what is waited for to come true; beyond them something hangs, however busy the machine. */
const patience = 60000;
/** A host that has only IPv6. */
export const client6 = "2001:db8:112::7";
export const program = (name) => join(build, "apps", name);
const { chromium } = createRequire(join(build, "web", "package.json"))("playwright-core");

export const run = (command, ...words) => execFileSync(command, words, { encoding: "utf8" });

/** Waits until a line of the stream has `text`; that line, and all before it. */
export function line(stream, text) {
  return new Promise((resolve, reject) => {
    const said = [];
    const lines = createInterface({ input: stream });
    lines.on("line", (each) => {
      said.push(each);
      if (each.includes(text)) resolve([each, said.join("\n")]);
    });
    lines.on("close", () => reject(new Error(`it ended: ${said.join("\n")}`)));
  });
}

/** Ends a child process. */
export function end(child) {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.on("exit", resolve);
    child.kill("SIGTERM");
  });
}

/** What has to be ended, the last first. */
export class World {
  #ends = [];

  constructor() {
    this.directory = mkdtempSync(join(tmpdir(), "portolan-studio."));
    this.#ends.push(() => rmSync(this.directory, { recursive: true }));
    this.pictures = join(build, "studio-pictures");
    mkdirSync(this.pictures, { recursive: true });
    if (!run("ip", "-o", "link", "show", "lo").includes(",UP")) {
      if (run("ip", "-o", "link").trim().split("\n").length !== 1) throw new Error("run it by ctest: it needs a network namespace of its own");
      run("ip", "link", "set", "lo", "up");
      for (const address of [client, "198.51.100.2", "198.51.100.3", client6]) run("ip", "address", "add", address, "dev", "lo");
    }
  }

  later(end) {
    this.#ends.push(end);
  }

  async end() {
    for (const end of this.#ends.reverse()) await end();
    this.#ends = [];
  }

  /** A child process; ended with the world. */
  start(command, ...words) {
    const child = spawn(command, words, { stdio: ["ignore", "pipe", "pipe"] });
    this.later(() => end(child));
    return child;
  }

  /** A daemon that reads `settings`; it is ready. */
  async daemon(name, settings) {
    const child = this.start(program(name), "--config", this.file(`${name}.toml`, settings));
    child.stdout.resume();
    child.said = (await line(child.stderr, " ready"))[1];
    return child;
  }

  file(name, text) {
    const path = join(this.directory, name);
    writeFileSync(path, text);
    return path;
  }

  settings(device, pcp) {
    return `device = "${device}"\nstore = "memory"\nruntime_directory = "${this.directory}"\n` +
      `[pcp]\nmaximum_lifetime = 20000\n${pcp}\n[[inside]]\ninterface = "lo"\n`;
  }

  simulated(pcp, more, pool = ["192.0.2.1", "192.0.2.2"]) {
    return `${this.settings("simulated", pcp)}[simulated]\npool = ${JSON.stringify(pool)}\n${more}\n`;
  }

  /** portoland that translates nothing. */
  server(pcp = "", more = "") {
    return this.daemon("portoland", this.simulated(pcp, more));
  }

  /** Its address with the token. */
  async studio(server = "127.0.0.1", from = client) {
    const child = this.start(program("portolan"), "studio", "--server", server, "--internal-address", from);
    child.stderr.pipe(process.stderr);
    const [said] = await line(child.stdout, "http://");
    return /http:\S+/.exec(said)[0];
  }

  async browser() {
    const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"], timeout: patience });
    this.later(() => browser.close());
    return browser;
  }

  /** A page that has opened `address`; what it complains of, and every host it asks, are kept. */
  async open(browser, address, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1440, height: 950 }, acceptDownloads: true, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(patience);
    page.complaints = [];
    page.hosts = new Set();
    page.on("console", (message) => { if (message.type() === "error") page.complaints.push(`${message.text()} ${message.location().url}`); });
    page.on("pageerror", (error) => page.complaints.push(String(error)));
    page.on("request", (request) => { if (!request.url().startsWith("data:") && !request.url().startsWith("blob:")) page.hosts.add(new URL(request.url()).host); });
    if (address) {
      await page.goto(address);
      await page.locator("main").waitFor();
    }
    return page;
  }

  async picture(page, name) {
    await page.screenshot({ path: join(this.pictures, `${name}.png`) });
  }
}
