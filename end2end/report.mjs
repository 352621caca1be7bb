// Reads the JSON report of the browser tests for the summary of `.ci/test`.
//   counts    prints how many tests passed and failed
//   failures  prints the title, the place and the error of each failed test
import { readFileSync } from "node:fs";
import { stripVTControlCharacters } from "node:util";

/** @import { JSONReport, JSONReportSpec, JSONReportSuite } from "@playwright/test/reporter" */

const LINES_OF_AN_ERROR = 8;

/**
 * @param {string} path
 * @returns {Pick<JSONReport, "suites"> & { stats: Pick<JSONReport["stats"], "expected" | "unexpected" | "flaky"> }}
 */
function read(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    // A run that was stopped before its end wrote no report.
    return { stats: { expected: 0, unexpected: 0, flaky: 0 }, suites: [] };
  }
}

/**
 * @param {JSONReportSuite} suite
 * @returns {JSONReportSpec[]}
 */
function specs(suite) {
  return [...(suite.specs ?? []), ...(suite.suites ?? []).flatMap(specs)];
}

/** @param {JSONReportSpec} spec */
function describe(spec) {
  const errors = spec.tests.flatMap((test) => test.results).flatMap((result) => result.errors);
  const message = stripVTControlCharacters(errors[0]?.message ?? "no error was reported");
  const lines = message.split("\n").filter((line) => line.trim() !== "");
  return [`${spec.file}:${spec.line} ${spec.title}`, ...lines.slice(0, LINES_OF_AN_ERROR).map((line) => `    ${line}`)];
}

const [what, path = ""] = process.argv.slice(2);
const { stats, suites } = read(path);
if (what === "counts") {
  console.log(stats.expected, stats.unexpected + stats.flaky);
} else {
  for (const spec of suites.flatMap(specs).filter((spec) => !spec.ok)) console.log(describe(spec).join("\n"));
}
