// `wasi:keyvalue` over the SQLite database of a Durable Object. Every call is synchronous, and nothing else runs in the
// object meanwhile: so a compare-and-swap can only be lost to a write through the same component.
//
// A row holds at most about two megabytes, and a value of the log may be larger: values are stored in parts.

const PART_BYTES = 1 << 20;
const KEY_BYTES = 1_024;
const VALUE_BYTES = 32 << 20;

/** What a component gets thrown, as `wasi:keyvalue/store.error`. */
type StoreError = { tag: "no-such-store" } | { tag: "access-denied" } | { tag: "other"; val: string };

const other = (val: string): StoreError => ({ tag: "other", val });

/** A key, and its new value; undefined for none. */
export type Change = [key: string, value: Uint8Array | undefined];

/** One named store, in a table of its own. */
export class Store {
  readonly #storage: DurableObjectStorage;
  readonly #table: string;

  /** `name` is this program's own word, never a caller's: it names a table. */
  constructor(storage: DurableObjectStorage, name: "limits" | "log" | "shelf") {
    this.#storage = storage;
    this.#table = `store_${name}`;
    storage.sql.exec(
      `CREATE TABLE IF NOT EXISTS ${this.#table} (key TEXT NOT NULL, part INTEGER NOT NULL, value BLOB NOT NULL,
       written INTEGER NOT NULL, PRIMARY KEY (key, part)) WITHOUT ROWID`,
    );
  }

  get(key: string): Uint8Array | undefined {
    const found = this.#storage.sql.exec(`SELECT value FROM ${this.#table} WHERE key = ? ORDER BY part`, key);
    const parts = [...found].map((row) => new Uint8Array(row["value"] as ArrayBuffer));
    if (parts.length <= 1) return parts[0];
    const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
    return whole;
  }

  /** Sets and deletes, all or nothing. */
  write(changes: Change[]): void {
    for (const [key, value] of changes) {
      if (new TextEncoder().encode(key).length > KEY_BYTES) throw other("a key is too long");
      if (value !== undefined && value.length > VALUE_BYTES) throw other("a value is too long");
    }
    this.#storage.transactionSync(() => {
      for (const [key, value] of changes) {
        this.#storage.sql.exec(`DELETE FROM ${this.#table} WHERE key = ? AND part > 0`, key);
        if (value === undefined) this.#storage.sql.exec(`DELETE FROM ${this.#table} WHERE key = ?`, key);
        else this.#put(key, value);
      }
    });
  }

  #put(key: string, value: Uint8Array): void {
    let part = 0;
    for (let at = 0; at === 0 || at < value.length; at += PART_BYTES) {
      const bytes = value.slice(at, at + PART_BYTES);
      this.#storage.sql.exec(
        `INSERT OR REPLACE INTO ${this.#table} (key, part, value, written) VALUES (?, ?, ?, ?)`,
        key,
        part++,
        bytes,
        Date.now(),
      );
    }
  }

  /** Up to so many keys after that one, in byte order. */
  keys(after: string | undefined, most: number): string[] {
    const found = this.#storage.sql.exec(
      `SELECT key FROM ${this.#table} WHERE part = 0 AND key > ? ORDER BY key LIMIT ?`,
      after ?? "",
      most,
    );
    return [...found].map((row) => String(row["key"]));
  }

  /** Adds to a decimal number, beginning at zero, and returns the sum. */
  increment(key: string, delta: bigint): bigint {
    const text = new TextDecoder().decode(this.get(key) ?? new Uint8Array([0x30]));
    const sum = /^-?\d{1,19}$/.test(text) ? BigInt(text) + delta : undefined;
    if (sum === undefined || sum !== BigInt.asIntN(64, sum)) {
      throw other("the value is not a 64-bit number, or would leave its range");
    }
    this.write([[key, new TextEncoder().encode(sum.toString())]]);
    return sum;
  }

  /** Sets a key if its value is still what was seen. */
  swap(key: string, seen: Uint8Array | undefined, value: Uint8Array): boolean {
    if (!same(this.get(key), seen)) return false;
    this.write([[key, value]]);
    return true;
  }

  /** Lets go what was last written before that time. */
  forgetBefore(milliseconds: number): void {
    this.#storage.sql.exec(`DELETE FROM ${this.#table} WHERE written < ?`, milliseconds);
  }
}

/** The imports of a component that may open this one store. */
export function keyvalueImports(name: string, store: Store): Record<string, unknown> {
  class Bucket {
    get(key: string): Uint8Array | undefined {
      return store.get(key);
    }
    set(key: string, value: Uint8Array): void {
      store.write([[key, value]]);
    }
    delete(key: string): void {
      store.write([[key, undefined]]);
    }
    exists(key: string): boolean {
      return store.get(key) !== undefined;
    }
    listKeys(): never {
      throw other("this store lists no keys");
    }
  }
  class Cas {
    readonly key: string;
    readonly seen: Uint8Array | undefined;
    constructor(key: string) {
      this.key = key;
      this.seen = store.get(key);
    }
    static new(_: Bucket, key: string): Cas {
      return new Cas(key);
    }
    current(): Uint8Array | undefined {
      return this.seen;
    }
  }
  const open = (wanted: string): Bucket => {
    if (wanted !== name) throw { tag: "no-such-store" } satisfies StoreError;
    return new Bucket();
  };
  const swap = (cas: Cas, value: Uint8Array): void => {
    if (!store.swap(cas.key, cas.seen, value)) throw { tag: "cas-failed", val: new Cas(cas.key) };
  };
  const increment = (_: Bucket, key: string, delta: bigint): bigint => store.increment(key, delta);
  return {
    "wasi:keyvalue/store": { Bucket, open },
    "wasi:keyvalue/atomics": { Cas, swap, increment },
    "wasi:keyvalue/batch": {
      getMany: (_: Bucket, keys: string[]) => {
        return keys.map((key) => {
          const value = store.get(key);
          return value === undefined ? undefined : [key, value];
        });
      },
      setMany: (_: Bucket, pairs: [string, Uint8Array][]) => store.write(pairs),
      deleteMany: (_: Bucket, keys: string[]) => store.write(keys.map((key) => [key, undefined])),
    },
  };
}

function same(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}
