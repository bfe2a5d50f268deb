// Making an instance of a derived component.

import type { Derived } from "./site.ts";

/** A way into an instance that may wait (JavaScript Promise Integration), which the platform's types do not know. */
type Enter = (...given: unknown[]) => Promise<unknown>;
declare global {
  namespace WebAssembly {
    function promising(of: Enter): Enter;
  }
}

/** The global that a module counts its fuel in: what was used, less what may be. At 0 and above, it traps. */
const CELL = "tollgate:gas";

/** A way into a task that may wait, and what it returns when it has nothing more to do: the canonical ABI's `EXIT`. */
const TASK = /^(\[callback\])?\[async-lift\]/;
const CODE = 0xf;
const EXIT = 0;

/** What an instance holds in its memories, and what it was given besides its imports. */
export interface Instance<Exports> {
  exports: Exports;
  /** Bytes of all its memories and tables, now. Memories only grow, so this is also the most that it ever held. */
  memoryBytes(): number;
}

/** What an instance may be given besides its imports. */
export interface Extras {
  /** Where it is added up what its modules use, if they count. */
  fuel?: Fuel | undefined;
  /** Told of what is thrown out of the instance, also when it has answered already. */
  failed?: (error: unknown) => void;
  /** Told when a task has nothing more to do, which may be long after it answered. */
  exited?: () => void;
}

/** The fuel of one instance, as its modules count it. Several may: in practice the guest, and one of trampolines. */
export class Fuel {
  readonly #cells: WebAssembly.Global[] = [];
  #isLost = false;

  constructor(readonly limit: bigint) {}

  /** Takes over the cell of a module that has just started, if it has one; it began with another limit. */
  adopt(exports: WebAssembly.Exports, began: bigint): void {
    const cell = exports[CELL];
    if (!(cell instanceof WebAssembly.Global) || this.#cells.includes(cell)) return;
    cell.value = (cell.value as bigint) + began - this.limit;
    this.#cells.push(cell);
  }

  /** A module with a cell was out of fuel before anybody could read it. */
  lose(): void {
    this.#isLost = true;
  }

  /** What was used, and never more than the limit: how far beyond it a guest gets depends on where it looks. */
  used(): bigint {
    const used = this.#cells.reduce((sum, cell) => sum + (cell.value as bigint) + this.limit, 0n);
    return this.#isLost || used > this.limit ? this.limit : used;
  }

  /** A run is within its fuel if, and only if, it ended and used less than the limit: so says the server, too. */
  isSpent(): boolean {
    return this.used() >= this.limit;
  }
}

/** Makes an instance. Throws what its start functions throw, and when a module has an import that nobody meets. */
export function instantiate<Exports>(
  derived: Derived,
  imports: Record<string, unknown>,
  { fuel, failed, exited }: Extras = {},
): Instance<Exports> {
  const memories: WebAssembly.Memory[] = [];
  const tasks = new Set<unknown>();
  const getCoreModule = (path: string): WebAssembly.Module => {
    const module = derived.modules[path];
    if (module === undefined) throw new Error(`the bundle has no module ${path}`);
    return module;
  };
  const instantiateCore = (module: WebAssembly.Module, wanted: WebAssembly.Imports): WebAssembly.Instance => {
    const instance = started(module, wanted, fuel);
    for (const [name, thing] of Object.entries(instance.exports)) {
      if (thing instanceof WebAssembly.Memory && !memories.includes(thing)) memories.push(thing);
      if (TASK.test(name)) tasks.add(thing);
    }
    fuel?.adopt(instance.exports, derived.startLimit ?? 0n);
    return instance;
  };
  instantiateCore.promising = (of: Enter): Enter => {
    const enter = WebAssembly.promising(of);
    const isTask = tasks.has(of);
    return async (...given) => {
      try {
        const answer = await enter(...given);
        if (isTask && (Number(answer) & CODE) === EXIT) exited?.();
        return answer;
      } catch (error) {
        failed?.(error);
        throw error;
      }
    };
  };
  const exports = derived.instantiate(getCoreModule, imports, instantiateCore) as Exports;
  const memoryBytes = () => memories.reduce((sum, memory) => sum + memory.buffer.byteLength, derived.tableBytes);
  return { exports, memoryBytes };
}

/** Starts a core module. If it traps meanwhile, its cell is out of reach: then all that it may use counts as used. */
function started(module: WebAssembly.Module, wanted: WebAssembly.Imports, fuel: Fuel | undefined): WebAssembly.Instance {
  try {
    return new WebAssembly.Instance(module, wanted);
  } catch (error) {
    const isTrap = error instanceof WebAssembly.RuntimeError && /unreachable/.test(error.message);
    if (isTrap && WebAssembly.Module.exports(module).some(({ name }) => name === CELL)) fuel?.lose();
    throw error;
  }
}

/** The error that a component returned, in place of a trap; undefined when it was a trap. */
export function returnedError(thrown: unknown): { payload: unknown } | undefined {
  const is = typeof thrown === "object" && thrown !== null && Object.hasOwn(thrown, "payload");
  return is ? { payload: (thrown as { payload: unknown }).payload } : undefined;
}
