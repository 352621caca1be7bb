// Hostile input and hostile pages (R68, R69, R75, R83).
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, somebody, status, test, Vestibule } from "../support/fixtures.js";

// Texts that break out of texts, attributes, titles, scripts, styles, comments and templates. Also script URLs.
const POLYGLOTS = [
  `"><img src=x onerror=alert(1)>`,
  `'><svg/onload=alert(1)>`,
  `<script>alert(1)</script>`,
  `</title></script><script>alert(1)</script>`,
  `</textarea></style><script>alert(1)</script>`,
  `--><svg onload=alert(1)>`,
  `" autofocus onfocus=alert(1) x="`,
  `\`-alert(1)-\``,
  `javascript:alert(1)`,
  `jaVasCript:/*-/*\`/*\\\`/*'/*"/**/(/* */onerror=alert(1) )//%0D%0A//</stYle/</titLe/</teXtarEa/</scRipt/--!>`,
  `{{constructor.constructor('alert(1)')()}}`,
  `\u2028</script><iframe srcdoc="<script>parent.alert(1)</script>">`,
];

// The policy would block an injected script. These tests switch it off, to check that no markup is injected.
test.describe("without the content security policy", () => {
  test.use({ bypassCSP: true });

  let alerts: string[] = [];
  test.beforeEach(({ page }) => {
    alerts = [];
    page.on("dialog", async (dialog) => {
      alerts.push(dialog.message());
      await dialog.dismiss();
    });
  });
  test.afterEach(() => expect(alerts).toEqual([]));

  // The elements that an injected polyglot would add to the page, whether it has run or not.
  const INJECTED = "img[src='x'], svg[onload], iframe[srcdoc], [onfocus], [onerror], script:not([nonce])";

  test("an injected script would run", async ({ page }) => {
    await new Vestibule(page).open("/login");
    await page.evaluate(() => document.body.insertAdjacentHTML("beforeend", "<img src='data:,' alt='' onerror='alert(7)'>"));
    await expect.poll(() => alerts).toEqual(["7"]);
    alerts = [];
  });

  for (const [n, polyglot] of POLYGLOTS.entries()) {
    test(`no field runs markup ${n + 1} that is typed into it_r83`, async ({ page, complaints }) => {
      complaints.expect(status(400));
      const app = new Vestibule(page);
      await page.setExtraHTTPHeaders({ "X-Forwarded-For": `198.51.100.${n + 1}` });
      await app.open("/register");
      await app.email.fill(polyglot);
      await app.username.fill(polyglot);
      await app.password.fill(polyglot);
      await app.registerButton.click();
      await expect(page.locator("form")).toHaveAttribute("aria-busy", "false");
      await expect(page.locator(INJECTED)).toHaveCount(0);
      await app.open("/login");
      await app.email.fill(polyglot);
      await app.password.fill(polyglot);
      await app.loginButton.click();
      await expect(page.getByRole("alert").filter({ hasText: /\w/, visible: true })).not.toHaveCount(0);
      await expect(page.locator(INJECTED)).toHaveCount(0);
    });

    test(`no URL and no stored token runs markup ${n + 1}_r83`, async ({ page, complaints }) => {
      complaints.expect(status(401), status(404));
      const app = new Vestibule(page);
      const encoded = encodeURIComponent(polyglot);
      for (const address of [`/login?email=${encoded}&next=${encoded}`, `/register#${encoded}`, `/${encoded}`]) {
        const html = await (await page.goto(address))?.text();
        expect(html, address).not.toContain(polyglot);
        await expect(page.locator("html")).toHaveAttribute("lang", "en");
        await expect(page.locator("body")).not.toContainText("alert(1)");
        await expect(page.locator(INJECTED)).toHaveCount(0);
      }
      await app.open("/login");
      await page.evaluate((stored) => sessionStorage.setItem("vestibule.session", stored), JSON.stringify(polyglot));
      await page.reload();
      await expect(app.loginButton).toBeEnabled();
    });
  }

  test("an email with markup characters is shown unchanged_r83", async ({ page, request }) => {
    const user = { ...somebody(), email: `o'neil+{{7*7}}/*&amp!${Date.now()}@example.org` };
    expect((await request.post("/api/accounts/api_register/", { data: user })).status()).toBe(200);
    const app = new Vestibule(page);
    await app.logIn(user);
    await expect(page.getByRole("main")).toContainText(user.email);
  });
});

test("no URL puts text into the page or redirects to another site_r75", async ({ page }) => {
  const error = Buffer.from('{"code":"internal","text":"Send your password to evil.example"}').toString("base64url");
  const queries = [
    `?__path=/fn/login&__err=${error}`,
    "?next=https://evil.example",
    "?next=//evil.example",
    "?next=/%5Cevil.example",
    "?next=javascript:alert(1)",
    "?next=%09//evil.example",
  ];
  const app = new Vestibule(page);
  for (const query of queries) {
    await app.open(`/login${query}`);
    await expect(app.heading, query).toHaveText("Log in");
    await expect(page.locator("body")).not.toContainText("evil.example");
    await expect(page.getByRole("alert").filter({ visible: true, hasText: /\w/ })).toHaveCount(0);
    expect(new URL(page.url()).pathname).toBe("/login");
  }
});

test("an injected script does not run, and each response has its own nonce_r68", async ({ page, complaints }) => {
  complaints.expect(/Content Security Policy|violates|^request: x: csp$/i);
  const app = new Vestibule(page);
  const nonces = new Set<string>();
  for (let visit = 0; visit < 2; visit += 1) {
    const policy = (await (await page.goto("/login"))?.allHeaders())?.["content-security-policy"] ?? "";
    expect(policy).not.toMatch(/unsafe-inline|'unsafe-eval'/);
    nonces.add(policy.match(/'nonce-([^']+)'/)?.[1] ?? "");
  }
  expect(nonces.size).toBe(2);
  await page.addInitScript(() => {
    const refused: string[] = [];
    Object.assign(window, { refused });
    document.addEventListener("securitypolicyviolation", (event) => refused.push(event.effectiveDirective));
  });
  // Simulates a server that doesn't escape markup. It contains a script, a script with a guessed nonce, and a handler
  // in an attribute.
  await page.route("**/login", async (route) => {
    const response = await route.fetch();
    const markup = `<script>window.injected = 1</script><script nonce="guessed">window.injected = 2</script>
      <img src="x:" alt="" onerror="window.injected = 3">`;
    await route.fulfill({ response, body: (await response.text()).replace("</body>", `${markup}</body>`) });
  });
  await app.open("/login");
  const refused = () => page.evaluate(() => (window as unknown as { refused: string[] }).refused.sort());
  const expected = ["img-src", "script-src-attr", "script-src-elem", "script-src-elem"];
  await expect.poll(refused).toEqual(expected);
  expect(await page.evaluate(() => "injected" in window)).toBe(false);
});

test("a page of another site can neither frame nor call the page_r69", async (
  { page, complaints, server },
) => {
  complaints.expect(/frame|refused|CORS|blocked|ERR_|^response: 4|status of 4/i);
  const evil = createServer((_, answer) => {
    answer.setHeader("Content-Type", "text/html");
    answer.end(`<title>evil</title><iframe src="${server.url}/login"></iframe>`);
  });
  await new Promise<void>((resolve) => evil.listen(0, "127.0.0.1", resolve));
  try {
    await page.goto(`http://localhost:${(evil.address() as AddressInfo).port}/`);
    const framed = page.frames().at(1);
    expect(await framed?.locator("form").count()).toBe(0);
    const called = await page.evaluate(async (url) => {
      try {
        const answer = await fetch(`${url}/fn/login`, {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ email: "a@example.org", password: "whatever" }),
        });
        return answer.type;
      } catch {
        return "refused";
      }
    }, server.url);
    expect(called).toBe("refused");
  } finally {
    evil.close();
  }
});
