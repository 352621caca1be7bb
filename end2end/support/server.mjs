// The real program, started in an empty temporary folder.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const PROGRAM = resolve(
  fileURLToPath(new URL("..", import.meta.url)),
  process.env.VESTIBULE_BIN ?? "../target/release/vestibule",
);
const READY = /Vestibule is ready: (http:\/\/127\.0\.0\.1:(\d+))/;
const TIMEOUT_MS = 20_000;

export class Server {
  /** The address, such as http://127.0.0.1:40123. It stays the same through restarts. */
  url = "";
  /** The program's output so far. */
  log = "";
  /** The folder with its database. */
  folder = mkdtempSync(join(tmpdir(), "vestibule-e2e-"));
  #port = "0";
  /** @type {import("node:child_process").ChildProcess | undefined} */
  #child;
  /** @type {Record<string, string>} */
  #environment;

  /** @param {Record<string, string>} environment Variables with configuration, such as VESTIBULE_LOG_LEVEL. */
  constructor(environment = {}) {
    this.#environment = environment;
  }

  async start() {
    const { PATH, HOME, TMPDIR } = process.env;
    const child = spawn(PROGRAM, [], {
      cwd: this.folder,
      env: /** @type {NodeJS.ProcessEnv} */ ({
        ...{ PATH, HOME, TMPDIR },
        VESTIBULE_SERVER_ADDRESS: `127.0.0.1:${this.#port}`,
        VESTIBULE_SERVER_TRUSTED_PROXIES: "127.0.0.1/32",
        ...this.#environment,
      }),
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    const [, url, port] = await this.#announcement(child);
    [this.url, this.#port] = [url, port];
    return this;
  }

  /**
   * @param {import("node:child_process").ChildProcess} child
   * @returns {Promise<RegExpMatchArray>}
   */
  #announcement(child) {
    return new Promise((resolve, reject) => {
      let printed = "";
      const late = setTimeout(() => reject(new Error(`the server is not ready:\n${printed}`)), TIMEOUT_MS);
      const listen = (/** @type {Buffer} */ chunk) => {
        this.log += chunk;
        printed += chunk;
        const match = printed.match(READY);
        if (match) {
          clearTimeout(late);
          resolve(match);
        }
      };
      child.stdout?.on("data", listen);
      child.stderr?.on("data", listen);
      child.on("error", (cause) => reject(new Error(`${PROGRAM} can't be run (${cause.message}). Build it: make build`)));
      child.on("exit", (code) => reject(new Error(`the server has ended with status ${code}:\n${printed}`)));
    });
  }

  /**
   * Runs a command of the program in the server's folder. Returns what it prints.
   * @param {string[]} words
   * @param {string} input
   */
  run(words, input = "") {
    const { PATH, HOME, TMPDIR } = process.env;
    const env = /** @type {NodeJS.ProcessEnv} */ ({ PATH, HOME, TMPDIR });
    return execFileSync(PROGRAM, words, { cwd: this.folder, env, input, encoding: "utf8" });
  }

  /** @returns {number | undefined} */
  get pid() {
    return this.#child?.pid;
  }

  /**
   * Stops the program: gracefully, or immediately with SIGKILL.
   * @param {NodeJS.Signals} signal
   */
  async stop(signal = "SIGTERM") {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signal);
    const late = setTimeout(() => child.kill("SIGKILL"), TIMEOUT_MS);
    await ended;
    clearTimeout(late);
  }

  async kill() {
    await this.stop("SIGKILL");
  }

  /** Restarts on the same address and the same database. */
  async restart() {
    await this.kill();
    await this.start();
  }

  /** Stops the program and removes its folder. */
  async remove() {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
