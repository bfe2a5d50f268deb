// What a run has taken, and when that is too much. Fuel is what the guest's own code counts; around it, by the prices of
// the same schedule, goes what the server's `meter.rs` charges: the instance, calls into the host, bytes that cross with
// them, and memory.

import { Fuel } from "../derived.ts";
import type { Fault } from "../problem.ts";
import { type Limits, site } from "../site.ts";
import { Failed, type Taken } from "./work.ts";

const PAGE_BYTES = 65_536;

interface Price {
  base: bigint;
  perByte: bigint;
}

/** The schedule's prices; undefined when nobody counts gas. */
const prices = site.config.gas === null ? undefined : {
  fuel: BigInt(site.config.gas.fuel),
  instance: BigInt(site.config.gas.instance),
  memoryPage: BigInt(site.config.gas.memoryPage),
  calls: new Map<string, Price>(
    Object.entries(site.config.gas.calls).map(([name, { base, perByte }]) => {
      return [name, { base: BigInt(base), perByte: BigInt(perByte) }];
    }),
  ),
};

export class Meter {
  /** What the guest's own code counts; undefined when it does not. */
  readonly fuel: Fuel | undefined;
  /** Bytes that the instance holds. */
  memoryBytes: () => number = () => 0;
  readonly #limits: Limits;
  readonly #mostGas: bigint;
  #hostCalls = 0;
  /** The gas of everything but fuel and memory. */
  #crossed = prices?.instance ?? 0n;

  constructor(limits: Limits) {
    this.#limits = limits;
    this.#mostGas = BigInt(limits.gas);
    if (prices === undefined) return;
    const bought = this.#mostGas / (prices.fuel > 0n ? prices.fuel : 1n);
    const most = BigInt(limits.fuel);
    this.fuel = new Fuel(bought < most ? bought : most);
  }

  /** Counts and prices calls of an interface; throws when there were too many, or too dear ones. */
  cross(name: string, calls: number): void {
    this.#hostCalls += calls;
    if (this.#hostCalls > this.#limits.hostCalls) throw new Failed("host-calls");
    if (prices === undefined) return;
    this.#crossed += (prices.calls.get(name)?.base ?? 0n) * BigInt(calls);
    if (this.#gas() > this.#mostGas) throw new Failed("out-of-gas");
  }

  /** Prices bytes that cross with a call, or in a stream of the interface. If that is too much, the next call fails. */
  bytes(name: string, count: number): void {
    if (prices !== undefined) this.#crossed += (prices.calls.get(name)?.perByte ?? 0n) * BigInt(count);
  }

  /** What it has taken so far. */
  taken(): Taken {
    const fuel = this.fuel?.used() ?? 0n;
    return { fuel, gas: this.#gas(), hostCalls: this.#hostCalls, memoryBytes: this.memoryBytes() };
  }

  /** The limit that it has broken, if it has: fuel, or gas where that would not buy the fuel. */
  broken(): Fault | undefined {
    if (this.fuel === undefined) return undefined;
    if (this.fuel.isSpent()) return this.fuel.limit < BigInt(this.#limits.fuel) ? "out-of-gas" : "out-of-fuel";
    return this.#gas() > this.#mostGas ? "out-of-gas" : undefined;
  }

  #gas(): bigint {
    if (prices === undefined) return 0n;
    const pages = BigInt(Math.ceil(this.memoryBytes() / PAGE_BYTES));
    return (this.fuel?.used() ?? 0n) * prices.fuel + pages * prices.memoryPage + this.#crossed;
  }
}
