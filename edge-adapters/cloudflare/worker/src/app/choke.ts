// The choke point: every call of a guest's into the host is counted here, and held against the app's limit. It wraps
// whatever a guest is given, so no import can be forgotten.

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
    for (const name of methods(from)) Object.defineProperty(to, name, Object.getOwnPropertyDescriptor(from, name) ?? {});
  }
  return like as unknown as C;
}

function methods(of: object): string[] {
  const skipped = ["constructor", "length", "name", "prototype"];
  return Object.getOwnPropertyNames(of).filter((name) => {
    return !skipped.includes(name) && typeof Object.getOwnPropertyDescriptor(of, name)?.value === "function";
  });
}

/** Imports whose every call goes through `cross`, which throws when there were too many. Classes are changed in place:
 * they are the run's own. */
export function metered(imports: Record<string, Record<string, unknown>>, cross: () => void): Record<string, unknown> {
  const counted = (call: Call): Call =>
    function (this: unknown, ...given) {
      cross();
      return call.apply(this, given);
    };
  const done = new Set<unknown>();
  const meter = (thing: unknown): unknown => {
    if (typeof thing !== "function") return thing;
    if (!isClass(thing)) return counted(thing as Call);
    for (let own: object = thing; isClass(own) && !SHARED.includes(own) && !done.has(own); own = Object.getPrototypeOf(own) as object) {
      done.add(own);
      for (const holder of [own, own.prototype]) {
        for (const name of methods(holder)) {
          const call = Object.getOwnPropertyDescriptor(holder, name)?.value as Call;
          Object.defineProperty(holder, name, { value: counted(call), configurable: true, writable: true });
        }
      }
    }
    return thing;
  };
  const interfaces = Object.entries(imports).map(([name, members]) => {
    return [name, Object.fromEntries(Object.entries(members).map(([member, thing]) => [member, meter(thing)]))];
  });
  return Object.fromEntries(interfaces) as Record<string, unknown>;
}

function isClass(thing: object): thing is { prototype: object } {
  return Object.getOwnPropertyDescriptor(thing, "prototype")?.writable === false;
}
