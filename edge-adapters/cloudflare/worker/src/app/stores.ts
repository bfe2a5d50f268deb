// `wasi:keyvalue` for apps: each store is a Durable Object of its own, which a guest waits for.

import type { Job } from "./work.ts";

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

/** The interfaces of `wasi:keyvalue`, over the stores that the app was granted. */
export function stores(job: Job): Record<string, Record<string, unknown>> {
  class Bucket {
    readonly shelf: Shelf;
    constructor(shelf: Shelf) {
      this.shelf = shelf;
    }
    get(key: string): Promise<Uint8Array | undefined> {
      return asked(this.shelf.get(key));
    }
    async set(key: string, value: Uint8Array): Promise<void> {
      await asked(this.shelf.write([[key, value.slice()]]));
    }
    async delete(key: string): Promise<void> {
      await asked(this.shelf.write([[key, undefined]]));
    }
    async exists(key: string): Promise<boolean> {
      return (await this.get(key)) !== undefined;
    }
    listKeys(cursor: string | undefined): Promise<{ keys: string[]; cursor: string | undefined }> {
      return asked(this.shelf.keys(cursor));
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
      return new Cas(bucket, key, await bucket.get(key));
    }
    current(): Uint8Array | undefined {
      return this.seen;
    }
  }
  const open = (name: string): Bucket => {
    if (!Object.hasOwn(job.app.grants.keyvalue, name)) throw { tag: "access-denied" };
    return new Bucket(job.shelf(name));
  };
  const swap = async (cas: Cas, value: Uint8Array): Promise<void> => {
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
      increment: (bucket: Bucket, key: string, delta: bigint) => asked(bucket.shelf.increment(key, delta)),
    },
    "wasi:keyvalue/batch": {
      getMany: async (bucket: Bucket, keys: string[]) => {
        const values = await asked(bucket.shelf.getMany(keys));
        return values.map((value, place) => (value === undefined ? undefined : [keys[place], value]));
      },
      setMany: async (bucket: Bucket, pairs: [string, Uint8Array][]) => {
        await asked(bucket.shelf.write(pairs.map(([key, value]) => [key, value.slice()])));
      },
      deleteMany: async (bucket: Bucket, keys: string[]) => {
        await asked(bucket.shelf.write(keys.map((key) => [key, undefined])));
      },
    },
  };
}
