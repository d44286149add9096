// SPDX-License-Identifier: BSD-2-Clause
//
// node browse.mjs ADDRESS PICTURE: opens a page with Chromium, waits for its first image, prints its text, and keeps a
// picture of it.
import { createRequire } from "node:module";
import { join } from "node:path";

const [address, picture] = process.argv.slice(2);
const { chromium } = createRequire(join(process.env.PORTOLAN_BUILD, "web", "package.json"))("playwright-core");
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
try {
  const page = await browser.newPage({ viewport: { width: 760, height: 560 } });
  // Its video never ends.
  await page.goto(address, { waitUntil: "domcontentloaded", timeout: 40000 });
  await page.waitForFunction(() => document.images[0]?.naturalWidth > 0, undefined, { timeout: 40000 });
  console.log(await page.textContent("body"));
  await page.screenshot({ path: picture, timeout: 40000 });
} finally {
  await browser.close();
}
