import { defineConfig } from "@playwright/test";
import { findChromium } from "./support/chromium.mjs";

export default defineConfig({
  testDir: "tests",
  fullyParallel: true,
  workers: 2,
  retries: 0,
  // The limits only end what hangs. A busy machine must not reach them.
  timeout: 60_000,
  globalTimeout: 25 * 60_000,
  forbidOnly: true,
  expect: { timeout: 20_000 },
  outputDir: "test-results",
  reporter: process.env.VESTIBULE_E2E_REPORT
    ? [["list"], ["json", { outputFile: process.env.VESTIBULE_E2E_REPORT }]]
    : [["list"]],
  use: {
    browserName: "chromium",
    launchOptions: {
      executablePath: findChromium(),
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    },
    screenshot: "only-on-failure",
    trace: "retain-on-failure",
  },
});
