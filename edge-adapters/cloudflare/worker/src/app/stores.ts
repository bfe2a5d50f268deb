// `wasi:keyvalue` for apps: each store is a Durable Object of its own, which a guest waits for.

import type { Job, Run } from "./work.ts";

/** What a store answers with, in place of an error that would have to cross an object's boundary. */
export type Answer<T> = { ok: T } | { error: string };

/** A store of an app, as its object offers it. */
export interface Shelf {
  get(key: string): Promise<Answer<Uint8Array | undefined>>;
  getMany(keys: string[]): Promise<Answer<(Uint8Array | undefined)[]>>;
  write(changes: [key: string, value: Uint8Array | undefined][]): Promise<Answer<null>>;
  keys(after: string | undefined): Promise<Answer<{ keys: string[]; cursor: string | undefined }>>;
  increment(key: string, delta: bigint): Promise<Answer<bigint>>;
  swap(key: string, seen: Uint8Array | undefined, value: Uint8Array): Promise<Answer<{ done: boolean; now: Uint8Array | undefined }>>;
}

const other = (val: string) => ({ tag: "other", val });

async function asked<T>(work: Promise<Answer<T>>): Promise<T> {
  let answer: Answer<T>;
  try {
    answer = await work;
  } catch (error) {
    console.error("a store can't be asked:", error);
    throw other("the store can't be asked");
  }
  if ("error" in answer) throw other(answer.error);
  return answer.ok;
}

/** Bytes of texts and values, as the server counts them. */
function bytesOf(...things: (string | Uint8Array | undefined)[]): number {
  const encoder = new TextEncoder();
  const size = (thing: string | Uint8Array | undefined) => (typeof thing === "string" ? encoder.encode(thing) : thing)?.length ?? 0;
  return things.reduce((sum: number, thing) => sum + size(thing), 0);
}

/** The interfaces of `wasi:keyvalue`, over the stores that the app was granted. */
export function stores(job: Job, run: Run): Record<string, Record<string, unknown>> {
  const crossed = (name: string, ...things: (string | Uint8Array | undefined)[]) => {
    run.crossed(`wasi:keyvalue/${name}`, bytesOf(...things));
  };
  class Bucket {
    readonly shelf: Shelf;
    constructor(shelf: Shelf) {
      this.shelf = shelf;
    }
    async get(key: string): Promise<Uint8Array | undefined> {
      const value = await asked(this.shelf.get(key));
      crossed("store", key, value);
      return value;
    }
    async set(key: string, value: Uint8Array): Promise<void> {
      crossed("store", key, value);
      await asked(this.shelf.write([[key, value.slice()]]));
    }
    async delete(key: string): Promise<void> {
      crossed("store", key);
      await asked(this.shelf.write([[key, undefined]]));
    }
    async exists(key: string): Promise<boolean> {
      crossed("store", key);
      return (await asked(this.shelf.get(key))) !== undefined;
    }
    async listKeys(cursor: string | undefined): Promise<{ keys: string[]; cursor: string | undefined }> {
      const page = await asked(this.shelf.keys(cursor));
      crossed("store", ...page.keys);
      return page;
    }
  }
  class Cas {
    readonly seen: Uint8Array | undefined;
    constructor(
      readonly bucket: Bucket,
      readonly key: string,
      seen: Uint8Array | undefined,
    ) {
      this.seen = seen;
    }
    static async new(bucket: Bucket, key: string): Promise<Cas> {
      const seen = await asked(bucket.shelf.get(key));
      crossed("atomics", key, seen);
      return new Cas(bucket, key, seen);
    }
    current(): Uint8Array | undefined {
      crossed("atomics", this.seen);
      return this.seen;
    }
  }
  const open = (name: string): Bucket => {
    if (!Object.hasOwn(job.app.grants.keyvalue, name)) throw { tag: "access-denied" };
    return new Bucket(job.shelf(name));
  };
  const swap = async (cas: Cas, value: Uint8Array): Promise<void> => {
    crossed("atomics", value);
    let swapped: { done: boolean; now: Uint8Array | undefined };
    try {
      swapped = await asked(cas.bucket.shelf.swap(cas.key, cas.seen, value.slice()));
    } catch (error) {
      throw { tag: "store-error", val: error };
    }
    if (!swapped.done) throw { tag: "cas-failed", val: new Cas(cas.bucket, cas.key, swapped.now) };
  };
  return {
    "wasi:keyvalue/store": { Bucket, open },
    "wasi:keyvalue/atomics": {
      Cas,
      swap,
      increment: (bucket: Bucket, key: string, delta: bigint) => {
        crossed("atomics", key, new Uint8Array(8));
        return asked(bucket.shelf.increment(key, delta));
      },
    },
    "wasi:keyvalue/batch": {
      getMany: async (bucket: Bucket, keys: string[]) => {
        const values = await asked(bucket.shelf.getMany(keys));
        crossed("batch", ...keys, ...values);
        return values.map((value, place) => (value === undefined ? undefined : [keys[place], value]));
      },
      setMany: async (bucket: Bucket, pairs: [string, Uint8Array][]) => {
        crossed("batch", ...pairs.flat());
        await asked(bucket.shelf.write(pairs.map(([key, value]) => [key, value.slice()])));
      },
      deleteMany: async (bucket: Bucket, keys: string[]) => {
        crossed("batch", ...keys);
        await asked(bucket.shelf.write(keys.map((key) => [key, undefined])));
      },
    },
  };
}
