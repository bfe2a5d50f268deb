// Running an app that is a component: a fresh instance for each request.

import { type Extras, instantiate, returnedError } from "../derived.ts";
import { site } from "../site.ts";
import { type Classes, classes, metered } from "./choke.ts";
import { incoming02 } from "./http02.ts";
import { http02 } from "./http02_out.ts";
import { http03, type Response03 } from "./http03.ts";
import { Meter } from "./meter.ts";
import { stores } from "./stores.ts";
import { system } from "./system.ts";
import { BodyTooLarge, Failed, type Job, type Run } from "./work.ts";

type Interfaces = Record<string, Record<string, unknown>>;
type Handler02 = { handle(request: unknown, outparam: unknown): Promise<void> };
type Handler03 = { handle(request: unknown): Promise<Response03> };

/** Runs a component for one request. */
export function runComponent(job: Job): Run {
  const meter = new Meter(job.app.limits);
  const run = emptyRun(meter);
  const own = classes();
  if (job.app.handler === "wasi:http/handler@0.3") run03(job, run, own, meter);
  else run02(job, run, own, meter);
  run.head.catch(() => undefined);
  run.over.catch(() => undefined);
  return run;
}

/** The guest sets its answer, and is over when it returns. */
function run02(job: Job, run: Run, own: Classes, meter: Meter): void {
  const served = incoming02(job, run, own);
  run.head = served.head;
  run.stop = () => served.failed(new Failed("deadline"));
  run.over = ends(meter, served.failed, async () => {
    const http = http02(job, run, own, served);
    const failed = (error: unknown) => served.failed(faultOf(error, meter));
    const handler = made<Handler02>(job, run, own, meter, http, "wasi:http/incoming-handler@0.2", { failed });
    await handler.handle(served.request, served.outparam);
    const broken = meter.broken();
    if (broken !== undefined) throw new Failed(broken);
    served.returned();
  });
}

/** The guest returns its answer, and is over when it has nothing more to do. */
function run03(job: Job, run: Run, own: Classes, meter: Meter): void {
  const served = http03(job, run, own);
  let end: () => void = () => undefined;
  let fail: (fault: Failed) => void = () => undefined;
  run.over = new Promise<void>((resolve, reject) => {
    end = resolve;
    fail = reject;
  });
  const failed = (fault: Failed) => {
    served.failed(fault);
    fail(fault);
  };
  run.stop = () => failed(new Failed("deadline"));
  const exited = () => {
    const broken = meter.broken();
    if (broken === undefined) end();
    else failed(new Failed(broken));
  };
  const response = ends(meter, failed, async () => {
    const extras = { failed: (error: unknown) => failed(faultOf(error, meter)), exited };
    const handler = made<Handler03>(job, run, own, meter, served.interfaces, "wasi:http/handler@0.3", extras);
    return await handler.handle(served.request);
  });
  run.head = response.then((response) => response.answered());
}

/** An instance's handler. */
function made<Handler>(
  job: Job,
  run: Run,
  own: Classes,
  meter: Meter,
  http: Interfaces,
  handler: string,
  extras: Extras,
): Handler {
  const derived = site.apps[job.app.derived ?? -1];
  if (derived === undefined) throw new Failed("host-fault");
  const cross = (name: string, calls: number) => meter.cross(name, calls);
  const imports = metered({ ...system(job, run, own), ...stores(job, run), ...http }, cross);
  const instance = instantiate<Record<string, Handler>>(derived, imports, { ...extras, fuel: meter.fuel });
  meter.memoryBytes = () => instance.memoryBytes();
  const found = Object.entries(instance.exports).find(([name]) => name.startsWith(handler));
  if (found === undefined) throw new Failed("host-fault");
  return found[1];
}

async function ends<T>(meter: Meter, failed: (error: Failed) => void, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const fault = faultOf(error, meter);
    failed(fault);
    throw fault;
  }
}

function emptyRun(meter: Meter): Run {
  return {
    // Until it is started.
    head: new Promise(() => undefined),
    over: Promise.resolve(),
    encodeBody: "manual",
    bytesIn: 0,
    bytesOut: 0,
    outgoing: 0,
    logLines: 0,
    crossed: (name, bytes) => meter.bytes(name, bytes),
    taken: () => meter.taken(),
    stop: () => undefined,
  };
}

/** What an error out of an instance means. A guest that is out of fuel reports only an unreachable instruction. */
function faultOf(error: unknown, meter: Meter): Failed {
  if (error instanceof Failed) return error;
  const broken = meter.broken();
  if (broken !== undefined) return new Failed(broken);
  if (error instanceof BodyTooLarge || returnedError(error) !== undefined) return new Failed("error-code");
  if (error instanceof RangeError && /call stack/i.test(error.message)) return new Failed("stack-overflow");
  console.error("an app failed:", error instanceof Error ? (error.stack ?? error.message) : String(error));
  return new Failed("trap");
}
