// What a guest finds of a system: clocks, randomness, an environment, and standard streams. WASI 0.2.

import type { Job, Run } from "./work.ts";
import { Failed } from "./work.ts";
import type { Classes } from "./choke.ts";
import { type Pollable, poll, type Sink } from "./streams.ts";

/** The interfaces of `wasi:io`, `wasi:cli`, `wasi:clocks` and `wasi:random`. */
export function system(job: Job, run: Run, classes: Classes): Record<string, Record<string, unknown>> {
  const { InputStream, IoError, OutputStream, Pollable } = classes;
  const { environment, config } = job.app.grants;
  const out = (name: string) => new OutputStream(new Lines(name, job, run), Pollable);
  const seed = (): [bigint, bigint] => [randomU64(), randomU64()];
  const random = { getRandomBytes: randomBytes, getRandomU64: randomU64 };
  const insecure = { getInsecureRandomBytes: randomBytes, getInsecureRandomU64: randomU64 };
  return {
    "wasi:io/error": { Error: IoError },
    "wasi:io/poll": { Pollable, poll },
    "wasi:io/streams": { InputStream, OutputStream },
    "wasi:cli/environment": {
      getEnvironment: () => Object.entries(environment),
      getArguments: () => [],
      initialCwd: () => undefined,
    },
    "wasi:cli/exit": {
      exit: () => {
        throw new Failed("exit");
      },
    },
    "wasi:cli/stdin": { getStdin: () => new InputStream(null, Pollable) },
    "wasi:cli/stdout": { getStdout: () => out("stdout") },
    "wasi:cli/stderr": { getStderr: () => out("stderr") },
    "wasi:cli/terminal-input": { TerminalInput: class TerminalInput {} },
    "wasi:cli/terminal-output": { TerminalOutput: class TerminalOutput {} },
    "wasi:cli/terminal-stdin": { getTerminalStdin: () => undefined },
    "wasi:cli/terminal-stdout": { getTerminalStdout: () => undefined },
    "wasi:cli/terminal-stderr": { getTerminalStderr: () => undefined },
    "wasi:clocks/wall-clock": {
      now: () => ({ seconds: BigInt(Math.floor(Date.now() / 1000)), nanoseconds: (Date.now() % 1000) * 1_000_000 }),
      resolution: () => ({ seconds: 0n, nanoseconds: 1_000_000 }),
    },
    "wasi:clocks/monotonic-clock": {
      now: monotonic,
      resolution: () => 1_000_000n,
      getResolution: () => 1_000_000n,
      subscribeDuration: (nanoseconds: bigint): Pollable => Pollable.of(sleep(nanoseconds)),
      subscribeInstant: (at: bigint): Pollable => Pollable.of(sleep(at - monotonic())),
      waitFor: (nanoseconds: bigint) => sleep(nanoseconds),
      waitUntil: (at: bigint) => sleep(at - monotonic()),
    },
    "wasi:clocks/system-clock": {
      now: () => ({ seconds: BigInt(Math.floor(Date.now() / 1000)), nanoseconds: (Date.now() % 1000) * 1_000_000 }),
      getResolution: () => 1_000_000n,
    },
    "wasi:random/random": random,
    "wasi:random/insecure": insecure,
    "wasi:random/insecure-seed": { insecureSeed: seed, getInsecureSeed: seed },
    "wasi:config/store": {
      get: (key: string) => config?.[key],
      getAll: () => Object.entries(config ?? {}),
    },
  };
}

function monotonic(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

function sleep(nanoseconds: bigint): Promise<void> {
  const milliseconds = Number(nanoseconds / 1_000_000n);
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, milliseconds)));
}

function randomBytes(length: bigint): Uint8Array {
  const bytes = new Uint8Array(Number(length));
  for (let at = 0; at < bytes.length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  return bytes;
}

function randomU64(): bigint {
  return crypto.getRandomValues(new BigUint64Array(1))[0] ?? 0n;
}

/** Standard output and error: lines of the worker's log, as many and as long as the app may write. */
class Lines implements Sink {
  #line = "";
  readonly #decoder = new TextDecoder();

  constructor(
    readonly name: string,
    readonly job: Job,
    readonly run: Run,
  ) {}

  room(): number {
    return 64 << 10;
  }
  drained(): Promise<void> {
    return Promise.resolve();
  }
  closed(): boolean {
    return false;
  }
  write(bytes: Uint8Array): void {
    const { logLineBytes, logLines } = this.job.app.limits;
    this.run.crossed(`wasi:cli/${this.name}`, bytes.length);
    const lines = (this.#line + this.#decoder.decode(bytes, { stream: true })).split("\n");
    this.#line = (lines.pop() ?? "").slice(0, logLineBytes);
    for (const line of lines) {
      this.run.logLines += 1;
      if (this.run.logLines > logLines) continue;
      const text = line.slice(0, logLineBytes).replace(/[\x00-\x1f\x7f]/g, "\ufffd");
      console.log(JSON.stringify({ request_id: this.job.requestId, app: this.job.app.name, stream: this.name, text }));
    }
  }
}
