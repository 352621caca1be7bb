// The service's name, colour, logo and link to the app, in both themes.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AxeBuilder } from "@axe-core/playwright";
import { expect, register, Server, somebody, test, Vestibule } from "../support/fixtures.js";

const SVG = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><style>rect{fill:#123456}</style>
  <script>window.top.hacked = true</script><rect width="8" height="8"/></svg>`;
/** One colour is too light for the light theme, the other too dark for the dark theme. */
const COLOURS = ["#ffe14d", "#101060"];

for (const accent of COLOURS) {
  test(`the page shows the service's name, ${accent}, its logo and a link to the app`, async (
    { page, request, complaints },
  ) => {
    test.slow();
    complaints.expect(/sandboxed|Content Security Policy/);
    const folder = await mkdtemp(join(tmpdir(), "vestibule-brand-"));
    const logo = join(folder, "logo.svg");
    await writeFile(logo, SVG);
    const server = await new Server({
      VESTIBULE_BRAND_SERVICE_NAME: `Möbel & <b>Söhne`,
      VESTIBULE_BRAND_APP_URL: "https://app.example.org/start?a=1&b=2",
      VESTIBULE_BRAND_ACCENT: accent,
      VESTIBULE_BRAND_LOGO: logo,
    }).start();
    try {
      const app = new Vestibule(page);
      for (const colorScheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme });
        await app.open(`${server.url}/register`);
        await expect(page).toHaveTitle("Register · Möbel & <b>Söhne");
        await expect(page.getByRole("banner").getByRole("link", { name: "Möbel & <b>Söhne" })).toBeVisible();
        const { violations } = await new AxeBuilder({ page }).withTags(["wcag2aa"]).analyze();
        expect(violations.map(({ id, nodes }) => [id, nodes.map((node) => node.failureSummary)])).toEqual([]);
      }
      const picture = page.locator("header img");
      await expect.poll(() => picture.evaluate((image) => (image as HTMLImageElement).naturalWidth)).toBeGreaterThan(0);
      const path = (await picture.getAttribute("src")) ?? "";
      expect(path).toMatch(/^\/brand\/[0-9a-f]{16}\.svg$/);
      expect(await page.locator("link[rel=icon]").getAttribute("href")).toBe(path);
      const answer = await request.get(server.url + path);
      expect(answer.headers()["content-security-policy"]).toContain("sandbox");
      expect(answer.headers()["cache-control"]).toContain("immutable");
      expect((await request.get(`${server.url}/brand/0000000000000000.svg`)).status()).toBe(404);
      const manifest = await (await request.get(`${server.url}/manifest.webmanifest`)).json();
      expect([manifest.name, manifest.icons[0].src]).toEqual(["Möbel & <b>Söhne", path]);

      const user = somebody();
      expect((await request.post(`${server.url}/api/accounts/api_register/`, { data: user })).status()).toBe(200);
      await app.open(`${server.url}/login`);
      await app.fillLogin(user);
      await app.loginButton.click();
      const onward = page.getByRole("link", { name: "Continue to Möbel & <b>Söhne" });
      await expect(onward).toHaveAttribute("href", "https://app.example.org/start?a=1&b=2");
      await page.goto(`${server.url}/api/docs`);
      await expect(page).toHaveTitle("API · Möbel & <b>Söhne");
      await page.goto(server.url + path);
      expect(await page.evaluate(() => "hacked" in window)).toBe(false);
    } finally {
      await server.remove();
      await rm(folder, { recursive: true });
    }
  });
}

test("without a configured brand, no link leads to an app", async ({ page, request }) => {
  const app = new Vestibule(page);
  await app.logIn(await register(request));
  await expect(page.getByRole("link", { name: /^Continue to/ })).toHaveCount(0);
  await expect(page).toHaveTitle("Home · Vestibule");
});
