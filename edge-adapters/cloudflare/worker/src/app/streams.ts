// `wasi:io` 0.2: streams and what can be waited for, over promises and the platform's streams. One set of classes for
// each run, so that nothing of one request is in reach of another.

/** Bytes that a guest may write ahead of whoever reads. */
const AHEAD_BYTES = 64 << 10;

/** What a guest gets thrown, as `wasi:io/streams.stream-error`. */
export const CLOSED = { tag: "closed" } as const;

/** The text of a stream's failure. */
export class IoError {
  constructor(readonly text: string) {}
  toDebugString(): string {
    return this.text;
  }
}

function failed(error: unknown): { tag: "last-operation-failed"; val: IoError } {
  return { tag: "last-operation-failed", val: new IoError(error instanceof Error ? error.message : String(error)) };
}

/** What the host itself asks of a guest's things, in a call that has begun already or has waited: no call of its own. */
const READY = Symbol("ready");
const WAIT = Symbol("wait");
const READ = Symbol("read");

/** Something to wait for. */
export class Pollable {
  static readonly hostOnly = ["of"];
  readonly #ready: () => boolean;
  readonly #wait: () => Promise<unknown>;

  constructor(ready: () => boolean, wait: () => Promise<unknown>) {
    this.#ready = ready;
    this.#wait = wait;
  }
  /** Ready when the promise has settled. */
  static of(promise: Promise<unknown>): Pollable {
    let settled = false;
    const done = promise.then(
      () => {
        settled = true;
      },
      () => {
        settled = true;
      },
    );
    return new this(() => settled, () => done);
  }
  ready(): boolean {
    return this[READY]();
  }
  block(): Promise<void> {
    return this[WAIT]();
  }
  [READY](): boolean {
    return this.#ready();
  }
  async [WAIT](): Promise<void> {
    while (!this.#ready()) await this.#wait();
  }
}

/** Waits for the first of these; returns the places of all that are ready. */
export async function poll(list: Pollable[]): Promise<Uint32Array> {
  if (list.length === 0) throw new Error("there is nothing to wait for");
  for (;;) {
    const ready = list.flatMap((pollable, place) => (pollable[READY]() ? [place] : []));
    if (ready.length > 0) return Uint32Array.from(ready);
    await Promise.race(list.map((pollable) => pollable[WAIT]()));
  }
}

/** Bytes for a guest. */
export class InputStream {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #buffer: Uint8Array = new Uint8Array();
  #reading: Promise<void> | undefined;
  #end: { error: unknown } | "closed" | undefined;

  constructor(
    from: ReadableStream<Uint8Array> | null,
    readonly pollable: typeof Pollable,
  ) {
    this.#reader = from?.getReader();
    if (from === null) this.#end = "closed";
  }

  read(length: bigint): Uint8Array {
    return this.#take(length);
  }
  blockingRead(length: bigint): Promise<Uint8Array> {
    return this[READ](length);
  }
  skip(length: bigint): bigint {
    return BigInt(this.#take(length).length);
  }
  async blockingSkip(length: bigint): Promise<bigint> {
    return BigInt((await this[READ](length)).length);
  }
  subscribe(): Pollable {
    return new this.pollable(() => this.#ready(), () => this.#fill());
  }

  async [READ](length: bigint): Promise<Uint8Array> {
    if (length > 0n) await this.#available();
    return this.#take(length);
  }
  #take(length: bigint): Uint8Array {
    if (this.#buffer.length > 0) {
      const most = Number(length > BigInt(this.#buffer.length) ? BigInt(this.#buffer.length) : length);
      const bytes = this.#buffer.subarray(0, most);
      this.#buffer = this.#buffer.subarray(most);
      return bytes;
    }
    if (this.#end === "closed") throw CLOSED;
    if (this.#end !== undefined) {
      const { error } = this.#end;
      this.#end = "closed";
      throw failed(error);
    }
    void this.#fill();
    return new Uint8Array();
  }
  #ready(): boolean {
    return this.#buffer.length > 0 || this.#end !== undefined;
  }
  async #available(): Promise<void> {
    while (!this.#ready()) await this.#fill();
  }
  #fill(): Promise<void> {
    this.#reading ??= (async () => {
      try {
        const read = await this.#reader?.read();
        if (read === undefined || read.done) this.#end = "closed";
        else this.#buffer = read.value;
      } catch (error) {
        this.#end = { error };
      }
      this.#reading = undefined;
    })();
    return this.#reading;
  }
}

/** Where the bytes of an output stream go. */
export interface Sink {
  /** How many bytes may be written now. */
  room(): number;
  write(bytes: Uint8Array): void;
  /** Settles when there may be more room. */
  drained(): Promise<void>;
  /** Whether nobody reads any more. */
  closed(): boolean;
}

/** Bytes from a guest. */
export class OutputStream {
  constructor(
    readonly sink: Sink,
    readonly pollable: typeof Pollable,
  ) {}

  checkWrite(): bigint {
    this.#open();
    return BigInt(this.sink.room());
  }
  write(bytes: Uint8Array): void {
    this.#put(bytes);
  }
  async blockingWriteAndFlush(bytes: Uint8Array): Promise<void> {
    this.#put(bytes);
    await this.#flushed();
  }
  flush(): void {
    this.#open();
  }
  blockingFlush(): Promise<void> {
    return this.#flushed();
  }
  writeZeroes(length: bigint): void {
    this.#put(new Uint8Array(Number(length)));
  }
  blockingWriteZeroesAndFlush(length: bigint): Promise<void> {
    return this.blockingWriteAndFlush(new Uint8Array(Number(length)));
  }
  splice(from: InputStream, length: bigint): bigint {
    const bytes = from.read(this.#fitting(length));
    this.#put(bytes);
    return BigInt(bytes.length);
  }
  async blockingSplice(from: InputStream, length: bigint): Promise<bigint> {
    await this.#flushed();
    const bytes = await from[READ](this.#fitting(length));
    this.#put(bytes);
    await this.#flushed();
    return BigInt(bytes.length);
  }
  subscribe(): Pollable {
    return new this.pollable(() => this.sink.closed() || this.sink.room() > 0, () => this.sink.drained());
  }

  #put(bytes: Uint8Array): void {
    this.#open();
    // A copy: the guest's memory is its own again when this returns.
    if (bytes.length > 0) this.sink.write(bytes.slice());
  }
  async #flushed(): Promise<void> {
    while (!this.sink.closed() && this.sink.room() === 0) await this.sink.drained();
    this.#open();
  }
  #fitting(length: bigint): bigint {
    const room = BigInt(this.sink.room());
    return length < room ? length : room;
  }
  #open(): void {
    if (this.sink.closed()) throw CLOSED;
  }
}

/** A stream whose writer is a guest, and whose reader is the platform. */
export class Pipe implements Sink {
  readonly stream: ReadableStream<Uint8Array>;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #wanted: (() => void)[] = [];
  #over = false;

  constructor() {
    this.stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => this.#wake(),
        cancel: () => {
          this.#over = true;
          this.#wake();
        },
      },
      { highWaterMark: AHEAD_BYTES, size: (bytes) => bytes?.length ?? 0 },
    );
  }

  room(): number {
    return this.#over ? 0 : Math.max(0, this.#controller?.desiredSize ?? 0);
  }
  write(bytes: Uint8Array): void {
    this.#controller?.enqueue(bytes);
  }
  drained(): Promise<void> {
    return new Promise((resolve) => this.#wanted.push(resolve));
  }
  closed(): boolean {
    return this.#over;
  }
  /** The guest has written everything. */
  end(): void {
    if (!this.#over) this.#controller?.close();
    this.#over = true;
    this.#wake();
  }
  /** The guest has not, and will not. */
  fail(error: unknown): void {
    if (!this.#over) this.#controller?.error(error);
    this.#over = true;
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#wanted;
    this.#wanted = [];
    for (const wake of waiting) wake();
  }
}
