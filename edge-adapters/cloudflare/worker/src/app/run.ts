// Running an app that is a component: a fresh instance for each request.

import { instantiate, returnedError } from "../derived.ts";
import { site } from "../site.ts";
import { type Classes, classes, metered } from "./choke.ts";
import { incoming02 } from "./http02.ts";
import { http02 } from "./http02_out.ts";
import { http03, type Response03 } from "./http03.ts";
import { stores } from "./stores.ts";
import { system } from "./system.ts";
import { BodyTooLarge, Failed, type Job, type Run } from "./work.ts";

type Interfaces = Record<string, Record<string, unknown>>;
type Handler02 = { handle(request: unknown, outparam: unknown): Promise<void> };
type Handler03 = { handle(request: unknown): Promise<Response03> };

/** Runs a component for one request. */
export function runComponent(job: Job): Run {
  const run = emptyRun();
  const own = classes();
  if (job.app.handler === "wasi:http/handler@0.3") run03(job, run, own);
  else run02(job, run, own);
  run.head.catch(() => undefined);
  run.over.catch(() => undefined);
  return run;
}

/** The guest sets its answer, and is over when it returns. */
function run02(job: Job, run: Run, own: Classes): void {
  const served = incoming02(job, run, own);
  run.head = served.head;
  run.stop = () => served.failed(new Failed("deadline"));
  run.over = ends(async () => {
    const http = http02(job, run, own, served);
    const handler = made<Handler02>(job, run, own, http, "wasi:http/incoming-handler@0.2", served.failed);
    await handler.handle(served.request, served.outparam);
    served.returned();
  }, served.failed);
}

/** The guest returns its answer, and is over when its body is. */
function run03(job: Job, run: Run, own: Classes): void {
  const served = http03(job, run, own);
  run.stop = () => served.failed(new Failed("deadline"));
  const response = ends(async () => {
    const handler = made<Handler03>(job, run, own, served.interfaces, "wasi:http/handler@0.3", served.failed);
    return await handler.handle(served.request);
  }, served.failed);
  run.head = response.then((response) => response.answered());
}

/** An instance's handler. */
function made<Handler>(
  job: Job,
  run: Run,
  own: Classes,
  http: Interfaces,
  handler: string,
  failed: (error: Failed) => void,
): Handler {
  const derived = site.apps[job.app.derived ?? -1];
  if (derived === undefined) throw new Failed("host-fault");
  const cross = () => {
    run.hostCalls += 1;
    if (run.hostCalls > job.app.limits.hostCalls) throw new Failed("host-calls");
  };
  const imports = metered({ ...system(job, run, own), ...stores(job), ...http }, cross);
  const instance = instantiate<Record<string, Handler>>(derived, imports, { failed: (error) => failed(faultOf(error)) });
  run.memoryBytes = () => instance.memoryBytes();
  const found = Object.entries(instance.exports).find(([name]) => name.startsWith(handler));
  if (found === undefined) throw new Failed("host-fault");
  return found[1];
}

async function ends<T>(work: () => Promise<T>, failed: (error: Failed) => void): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const fault = faultOf(error);
    failed(fault);
    throw fault;
  }
}

function emptyRun(): Run {
  return {
    // Until it is started.
    head: new Promise(() => undefined),
    over: Promise.resolve(),
    encodeBody: "manual",
    bytesIn: 0,
    bytesOut: 0,
    hostCalls: 0,
    outgoing: 0,
    logLines: 0,
    memoryBytes: () => 0,
    gas: () => 0n,
    stop: () => undefined,
  };
}

/** What an error out of an instance means. */
function faultOf(error: unknown): Failed {
  if (error instanceof Failed) return error;
  if (error instanceof BodyTooLarge || returnedError(error) !== undefined) return new Failed("error-code");
  if (error instanceof RangeError && /call stack/i.test(error.message)) return new Failed("stack-overflow");
  console.error("an app failed:", error instanceof Error ? (error.stack ?? error.message) : String(error));
  return new Failed("trap");
}
