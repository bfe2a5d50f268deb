// The end of a response is held back until its record is stored: its last bytes where the length was announced, the end
// of the stream otherwise. So a body that ends has been recorded, and one that is cut does not look whole.

import type { Outcome } from "./contract.ts";

/** A response of at most so many bytes goes out in one piece, if it is whole by the time its run is over. */
const SMALL_BYTES = 16 << 10;

/** How long the next bytes may take, before what there is goes out and the rest streams. */
const PAUSE_MS = 5;

type Reader = ReadableStreamDefaultReader<Uint8Array>;
type Read = ReadableStreamReadResult<Uint8Array>;

/** What was read of a body before its head was sent. */
export interface Beginning {
  whole: boolean;
  bytes: Uint8Array;
  /** What is being read already. */
  next: Promise<Read> | undefined;
}

/** Reads a body as long as it comes without a break and is small. `over` settles when its run is over. */
export async function readBeginning(reader: Reader, over: Promise<void>): Promise<Beginning> {
  const parts: Uint8Array[] = [];
  let length = 0;
  while (length <= SMALL_BYTES) {
    const next = reader.read();
    const read = await soon(next);
    if (read === undefined) return { whole: false, bytes: joined(parts, length), next };
    if (read.done) {
      await over;
      return { whole: true, bytes: joined(parts, length), next: undefined };
    }
    parts.push(read.value);
    length += read.value.length;
  }
  return { whole: false, bytes: joined(parts, length), next: undefined };
}

async function soon<T>(work: Promise<T>): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const pause = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), PAUSE_MS);
  });
  try {
    return await Promise.race([work, pause]);
  } finally {
    clearTimeout(timer);
  }
}

/** What bounds a body that streams, and who is told of its end. */
export interface Bounds {
  /** How many bytes the head announced. */
  announced: number | undefined;
  mostBytes: number;
  milliseconds: number;
  /** Told once. Answers whether the record is stored. */
  ended: (outcome: "whole" | Outcome, bytes: number) => Promise<boolean>;
}

/** A body that streams. */
export class HeldBody {
  readonly stream: ReadableStream<Uint8Array>;
  /** Settles when the record is stored, or can't be. */
  readonly finished: Promise<void>;
  readonly #reader: Reader;
  readonly #bounds: Bounds;
  readonly #timer: ReturnType<typeof setTimeout>;
  #next: Promise<Read> | undefined;
  #held: Uint8Array | undefined;
  #bytes = 0;
  #over = false;
  #finish: () => void = () => undefined;

  constructor(reader: Reader, { bytes, next }: Beginning, bounds: Bounds) {
    this.#reader = reader;
    this.#bounds = bounds;
    this.#next = next;
    this.finished = new Promise((finish) => {
      this.#finish = finish;
    });
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
    this.stream = new ReadableStream<Uint8Array>({
      start: (given) => {
        controller = given;
        if (bytes.length > 0) this.#give(given, bytes);
      },
      pull: (given) => this.#pull(given),
      cancel: async () => {
        await this.#end({ tag: "abandoned" });
        await this.#reader.cancel().catch(() => undefined);
      },
    });
    this.#timer = setTimeout(() => {
      if (controller !== undefined) void this.#cut(controller, "deadline");
    }, bounds.milliseconds);
  }

  async #pull(to: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    try {
      const read = this.#next ?? this.#reader.read();
      this.#next = undefined;
      const { done, value } = await read;
      if (this.#over) return;
      if (done) return await this.#close(to);
      this.#give(to, value);
      if (this.#bytes > this.#bounds.mostBytes) await this.#cut(to, "response-too-large");
    } catch (error) {
      await this.#cut(to, (error as { fault?: string }).fault ?? "trap");
    }
  }

  /** Passes bytes on, except the last of an announced length. */
  #give(to: ReadableStreamDefaultController<Uint8Array>, bytes: Uint8Array): void {
    if (this.#held !== undefined) to.enqueue(this.#held);
    this.#held = undefined;
    this.#bytes += bytes.length;
    const { announced } = this.#bounds;
    if (announced !== undefined && this.#bytes >= announced) this.#held = bytes;
    else to.enqueue(bytes);
  }

  async #close(to: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    const { announced } = this.#bounds;
    if (announced !== undefined && announced !== this.#bytes) return await this.#cut(to, "bad-response");
    const durable = await this.#end("whole");
    if (!durable) return to.error(new Error("no record could be made"));
    if (this.#held !== undefined) to.enqueue(this.#held);
    to.close();
  }

  async #cut(to: ReadableStreamDefaultController<Uint8Array>, fault: string): Promise<void> {
    if (this.#over) return;
    await this.#end({ tag: "failed", val: fault });
    void this.#reader.cancel().catch(() => undefined);
    to.error(new Error("the response was cut"));
  }

  async #end(outcome: "whole" | Outcome): Promise<boolean> {
    if (this.#over) return false;
    this.#over = true;
    clearTimeout(this.#timer);
    try {
      return await this.#bounds.ended(outcome, this.#bytes);
    } finally {
      this.#finish();
    }
  }
}

function joined(parts: Uint8Array[], length: number): Uint8Array {
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) return only;
  const whole = new Uint8Array(length);
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
}
