// SPDX-License-Identifier: BSD-2-Clause
//
// node build.mjs FOLDER FILE.cpp: checks types, bundles the pages with what npm has installed in FOLDER, and writes them
// into a C++ file. Copies of the sources go to FOLDER, where they find their modules.
import { execFileSync } from "node:child_process";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, extname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const pages = ["studio", "dashboard"];
const [folder, output] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(join(folder, "package.json"));
for (const name of ["src", "tsconfig.json"]) {
  if (folder !== here) cpSync(join(here, name), join(folder, name), { recursive: true });
}

/** Members of the management API's rows, as its schema has them. */
function fieldTypes() {
  const schema = JSON.parse(readFileSync(join(here, "../src/control/management/schema/fields.json"), "utf8"));
  const plain = { number: "number", seconds: "number", port: "number", flag: "boolean" };
  const lines = Object.entries(schema).map(([name, { type, list, choices, summary }]) => {
    const one = type === "choice" ? choices.map((each) => JSON.stringify(each)).join(" | ") : (plain[type] ?? "string");
    return `  /** ${summary} */\n  ${JSON.stringify(name)}?: ${list ? `(${one})[]` : one};`;
  });
  return `// Made by build.mjs.\nexport interface Fields {\n${lines.join("\n")}\n}\n`;
}
writeFileSync(join(folder, "src/fields.ts"), fieldTypes());
execFileSync(process.execPath, [require.resolve("typescript/bin/tsc"), "--noEmit", "-p", folder], { stdio: "inherit" });

const esbuild = require("esbuild");
const bundled = await esbuild.build({
  entryPoints: pages.flatMap((name) => [join(folder, `src/${name}.ts`), join(folder, `src/${name}.css`)]),
  absWorkingDir: folder,
  bundle: true,
  external: ["/icon.svg"],
  minify: true,
  target: ["es2021", "firefox91", "chrome91", "safari15"],
  format: "esm",
  charset: "ascii",
  legalComments: "inline",
  metafile: true,
  outdir: join(folder, "dist"),
  write: false,
  logLevel: "warning",
});

const types = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** The licences of packages that a bundle is made of ask to go with it. */
function notices(path) {
  const { inputs } = bundled.metafile.outputs[relative(folder, path)];
  const packages = new Set(Object.keys(inputs).map((input) => /(?:^|\/)node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1]).filter(Boolean));
  return [...packages].map((name) => {
    const { version } = JSON.parse(readFileSync(join(folder, "node_modules", name, "package.json"), "utf8"));
    return `/*! ${name} ${version}\n\n${readFileSync(join(folder, "node_modules", name, "LICENSE"), "utf8").trim()}\n*/\n`;
  }).join("");
}
const made = new Map(bundled.outputFiles.map((file) => [file.path.split("/").pop(), Buffer.concat([Buffer.from(notices(file.path)), Buffer.from(file.contents)])]));
const given = (name) => readFileSync(join(here, "public", name));
const filesOf = (name) => [["/index.html", given(`${name}.html`)], ["/icon.svg", given("icon.svg")],
  [`/${name}.css`, made.get(`${name}.css`)], [`/${name}.js`, made.get(`${name}.js`)]];

/** A string literal of these octets, in pieces that every compiler takes. */
function literal(octets) {
  const lines = [];
  for (let at = 0; at < octets.length; at += 1000) {
    let line = "";
    for (const octet of octets.subarray(at, at + 1000)) {
      const isPlain = octet >= 0x20 && octet < 0x7f && octet !== 0x22 && octet !== 0x5c && octet !== 0x3f;
      line += isPlain ? String.fromCharCode(octet) : "\\" + octet.toString(8).padStart(3, "0");
    }
    lines.push('"' + line + '"');
  }
  return lines.join("\n    ");
}

// The standard asks for 65536 characters of a literal; the compilers that build this take any number.
let text = '// Made by web/build.mjs.\n#pragma GCC diagnostic ignored "-Woverlength-strings"\n#include <array>\n\n#include "web/pages.h"\n\nnamespace portolan::pages {\n';
for (const name of pages) {
  const files = filesOf(name);
  text += `\nauto ${name}() -> std::span<const io::HttpPage> {\n  static constexpr std::array<io::HttpPage, ${files.length}> files{{\n`;
  for (const [path, octets] of files)
    text += `    {.path = "${path}", .content_type = "${types[extname(path)]}", .content = std::string_view(\n    ${literal(octets)},\n    ${octets.length})},\n`;
  text += "  }};\n  return files;\n}\n";
}
text += "\n}  // namespace portolan::pages\n";
writeFileSync(output, text);
