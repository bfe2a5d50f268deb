// One store of one tenant's apps, in one Durable Object. Both kinds of store that a server has are this one here: what
// a server keeps in memory is kept here too.

import { DurableObject } from "cloudflare:workers";
import type { Answer, Shelf as Offered } from "./app/stores.ts";
import type { Env } from "./env.ts";
import { type Change, Store } from "./keyvalue.ts";
import { site } from "./site.ts";

const KEYS_MOST = 1_000;

export class Shelf extends DurableObject<Env> implements Offered {
  readonly #store: Store;
  readonly #mostBytes: number;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const [tenant] = (ctx.id.name ?? "").split("/");
    this.#store = new Store(ctx.storage, "shelf");
    this.#mostBytes = site.config.tenants.find(({ name }) => name === tenant)?.storageBytes ?? 0;
  }

  async get(key: string): Promise<Answer<Uint8Array | undefined>> {
    return answered(() => this.#store.get(key));
  }
  async getMany(keys: string[]): Promise<Answer<(Uint8Array | undefined)[]>> {
    return answered(() => keys.map((key) => this.#store.get(key)));
  }
  async write(changes: Change[]): Promise<Answer<null>> {
    return answered(() => {
      this.#hasRoom(changes);
      this.#store.write(changes);
      return null;
    });
  }
  async keys(after: string | undefined): Promise<Answer<{ keys: string[]; cursor: string | undefined }>> {
    return answered(() => {
      const keys = this.#store.keys(after, KEYS_MOST);
      return { keys, cursor: keys.length < KEYS_MOST ? undefined : keys.at(-1) };
    });
  }
  async increment(key: string, delta: bigint): Promise<Answer<bigint>> {
    return answered(() => {
      this.#hasRoom([]);
      return this.#store.increment(key, delta);
    });
  }
  async swap(key: string, seen: Uint8Array | undefined, value: Uint8Array): Promise<Answer<{ done: boolean; now: Uint8Array | undefined }>> {
    return answered(() => {
      this.#hasRoom([[key, value]]);
      const done = this.#store.swap(key, seen, value);
      return { done, now: done ? undefined : this.#store.get(key) };
    });
  }

  #hasRoom(changes: Change[]): void {
    const more = changes.reduce((sum, [key, value]) => sum + key.length + (value?.length ?? 0), 0);
    if (more > 0 && this.ctx.storage.sql.databaseSize + more > this.#mostBytes) {
      throw { tag: "other", val: `the store is full: ${this.#mostBytes} bytes` };
    }
  }
}

function answered<T>(work: () => T): Answer<T> {
  try {
    return { ok: work() };
  } catch (error) {
    const told = error as { tag?: string; val?: string };
    return { error: told.tag === "other" ? (told.val ?? "") : String(error) };
  }
}
