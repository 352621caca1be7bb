// Takes the README's screenshots again: the page of a logged-in user, light and dark.
import { chromium } from "@playwright/test";
import { findChromium } from "./support/chromium.mjs";
import { Server } from "./support/server.mjs";

const ANN = { email: "ann@example.org", username: "ann", password: "violet-anchor-37-meadow" };
const server = await new Server().start();
const browser = await chromium.launch({ executablePath: findChromium(), args: ["--no-sandbox", "--disable-gpu"] });
try {
  await fetch(`${server.url}/api/accounts/api_register/`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(ANN),
  });
  for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
    const page = await browser.newPage({ colorScheme, viewport: { width: 1120, height: 700 }, deviceScaleFactor: 2 });
    await page.goto(`${server.url}/login`);
    await page.getByLabel("Email or username").fill(ANN.email);
    await page.getByLabel("Password", { exact: true }).fill(ANN.password);
    await page.screenshot({ path: `picture-${colorScheme}.png` });
  }
} finally {
  await browser.close();
  await server.remove();
}
