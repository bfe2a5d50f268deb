// The choke point: every call of a guest's into the host is counted here, and held against the app's limits. It wraps
// whatever a guest is given, so no import can be forgotten. A call counts once, whatever the host calls meanwhile; what
// a guest makes with `new` and what it drops are calls, too, as they are on the server.

import { Fields } from "./fields.ts";
import { InputStream, IoError, OutputStream, Pollable } from "./streams.ts";

type Call = (this: unknown, ...given: unknown[]) => unknown;
type Class = abstract new (...given: never[]) => object;

/** The classes that runs share in their shape, and none of them in their instances: one set for each run. */
export interface Classes {
  Fields: typeof Fields;
  InputStream: typeof InputStream;
  OutputStream: typeof OutputStream;
  Pollable: typeof Pollable;
  IoError: typeof IoError;
}

const SHARED: object[] = [Fields, InputStream, OutputStream, Pollable, IoError];

/** What the glue calls on a resource that the guest has dropped. */
const DROPPED: symbol = (Symbol as unknown as { dispose?: symbol }).dispose ?? Symbol.for("dispose");

/** Calls that the server's engine does not borrow the host's state for once: how often it does. */
const BORROWS: Record<string, number> = {
  "wasi:clocks/monotonic-clock.waitFor": 0,
  "wasi:http/client.send": 6,
};

/** A set of classes for one run. */
export function classes(): Classes {
  return {
    Fields: own(Fields),
    InputStream: own(InputStream),
    OutputStream: own(OutputStream),
    Pollable: own(Pollable),
    IoError: own(IoError),
  };
}

/** A class like that one, whose methods can be wrapped without touching it. */
function own<C extends Class>(base: C): C {
  const like = class extends (base as unknown as new (...given: unknown[]) => object) {};
  for (const from of [base, base.prototype] as object[]) {
    const to = from === base ? like : like.prototype;
    for (const name of methods(from, [])) {
      Object.defineProperty(to, name, Object.getOwnPropertyDescriptor(from, name) ?? {});
    }
  }
  return like as unknown as C;
}

/** The names of an object's own methods, but for those. */
function methods(of: object, but: readonly string[]): string[] {
  const skipped = ["constructor", "length", "name", "prototype", ...but];
  return Object.getOwnPropertyNames(of).filter((name) => {
    return !skipped.includes(name) && typeof Object.getOwnPropertyDescriptor(of, name)?.value === "function";
  });
}

/** Imports whose every call goes through `cross`, which is told of the interface and how often the call counts, and throws
 * when there were too many. Classes are changed in place: they are the run's own. A class may name methods in `hostOnly`
 * that guests do not call. */
export function metered(
  imports: Record<string, Record<string, unknown>>,
  cross: (name: string, calls: number) => void,
): Record<string, unknown> {
  let isInside = false;
  const enter = <T>(name: string, calls: number, work: () => T): T => {
    if (isInside) return work();
    isInside = true;
    try {
      cross(name, calls);
      return work();
    } finally {
      isInside = false;
    }
  };
  const counted = (name: string, calls: number, call: Call): Call =>
    function (this: unknown, ...given) {
      return enter(name, calls, () => call.apply(this, given));
    };
  const done = new Set<unknown>();
  const meter = (name: string, member: string, thing: unknown): unknown => {
    if (typeof thing !== "function") return thing;
    if (!isClass(thing)) return counted(name, BORROWS[`${name}.${member}`] ?? 1, thing as Call);
    const hostOnly = (thing as { hostOnly?: readonly string[] }).hostOnly ?? [];
    for (let own: object = thing; isClass(own) && !SHARED.includes(own) && !done.has(own); own = Object.getPrototypeOf(own) as object) {
      done.add(own);
      for (const holder of [own, own.prototype]) {
        for (const method of methods(holder, hostOnly)) {
          const call = Object.getOwnPropertyDescriptor(holder, method)?.value as Call;
          Object.defineProperty(holder, method, { value: counted(name, 1, call), configurable: true, writable: true });
        }
      }
    }
    Object.defineProperty(thing.prototype, DROPPED, { value: counted(name, 1, () => undefined), configurable: true });
    return new Proxy(thing, {
      construct: (target, given, as) => enter(name, 1, () => Reflect.construct(target, given, as) as object),
    });
  };
  const interfaces = Object.entries(imports).map(([name, members]) => {
    return [name, Object.fromEntries(Object.entries(members).map(([member, thing]) => [member, meter(name, member, thing)]))];
  });
  return Object.fromEntries(interfaces) as Record<string, unknown>;
}

function isClass(thing: object): thing is { prototype: object } {
  return Object.getOwnPropertyDescriptor(thing, "prototype")?.writable === false;
}
