// Making an instance of a derived component.

import type { Derived } from "./site.ts";

/** A way into an instance that may wait (JavaScript Promise Integration), which the platform's types do not know. */
type Enter = (...given: unknown[]) => Promise<unknown>;
declare global {
  namespace WebAssembly {
    function promising(of: Enter): Enter;
  }
}

/** What an instance holds in its memories, and what it was given besides its imports. */
export interface Instance<Exports> {
  exports: Exports;
  /** Bytes of all its memories, now. Memories only grow, so this is also the most that it ever held. */
  memoryBytes(): number;
}

/** The cell that instrumented modules count gas in: it rises to zero, and there they trap. */
export type GasCell = WebAssembly.Global;

/** What an instance may be given besides its imports. */
export interface Extras {
  gas?: GasCell;
  /** Told of what is thrown out of the instance, also when it has answered already. */
  failed?: (error: unknown) => void;
}

/** Makes an instance. Throws what its start functions throw, and when a module has an import that nobody meets. */
export function instantiate<Exports>(
  derived: Derived,
  imports: Record<string, unknown>,
  { gas, failed }: Extras = {},
): Instance<Exports> {
  const memories: WebAssembly.Memory[] = [];
  const getCoreModule = (path: string): WebAssembly.Module => {
    const module = derived.modules[path];
    if (module === undefined) throw new Error(`the bundle has no module ${path}`);
    return module;
  };
  const instantiateCore = (module: WebAssembly.Module, wanted: WebAssembly.Imports): WebAssembly.Instance => {
    const met = gas === undefined ? wanted : { ...wanted, __gas: { c: gas } };
    const instance = new WebAssembly.Instance(module, met);
    for (const thing of Object.values(instance.exports)) {
      if (thing instanceof WebAssembly.Memory && !memories.includes(thing)) memories.push(thing);
    }
    return instance;
  };
  instantiateCore.promising = (of: Enter): Enter => {
    const enter = WebAssembly.promising(of);
    return async (...given) => {
      try {
        return await enter(...given);
      } catch (error) {
        failed?.(error);
        throw error;
      }
    };
  };
  const exports = derived.instantiate(getCoreModule, imports, instantiateCore) as Exports;
  return { exports, memoryBytes: () => memories.reduce((sum, memory) => sum + memory.buffer.byteLength, 0) };
}

/** The error that a component returned, in place of a trap; undefined when it was a trap. */
export function returnedError(thrown: unknown): { payload: unknown } | undefined {
  const is = typeof thrown === "object" && thrown !== null && Object.hasOwn(thrown, "payload");
  return is ? { payload: (thrown as { payload: unknown }).payload } : undefined;
}
