// Tests the JSON API with valid and invalid requests that its document implies: schemathesis against the real program.
// SCHEMATHESIS is the program's path. Further arguments are passed to it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { Server } from "./support/server.mjs";

const folder = join(fileURLToPath(new URL(".", import.meta.url)), "api");
const server = await new Server().start();
let status = 1;
try {
  // The calls of operators are made by this account.
  server.run(["operator", "add", "admin@example.org", "admin"], "seven green lanterns\n");
  const config = ["--config-file", join(folder, "schemathesis.toml")];
  const run = spawn(
    process.env.SCHEMATHESIS ?? "schemathesis",
    [...config, "run", `${server.url}/api/openapi.json`, ...process.argv.slice(2)],
    { cwd: folder, stdio: "inherit", env: { ...process.env, VESTIBULE_URL: server.url } },
  );
  [status] = await once(run, "exit");
  const faults = server.log.split("\n").filter((line) => /panicked|"level":"ERROR"/.test(line));
  if (faults.length > 0) {
    console.error(`The server's log contains errors:\n${faults.slice(0, 20).join("\n")}`);
    status = 1;
  }
} finally {
  await server.remove();
}
process.exitCode = status ?? 1;
