/**
 * A WebTransport with the face of a WebSocket: text frames on one stream, and volatile values beside it in datagrams.
 *
 * Of datagrams some are lost, so a value that stays for a while is said once more over the stream, and so is what was last said of all
 * paths before anything else is. In front of it goes a fence that makes the datagrams before it void: one that is late does not undo
 * what the stream said. What the server tells in datagrams has a number and a sequence for each path, and an epoch, which changes
 * where datagrams must not be taken for newer than the stream. See docs/protocol.md.
 */

/** What a connection needs of a WebSocket. */
export interface Socket {
  /** Bytes that are sent and have not left. */
  readonly bufferedAmount: number;
  /** The same in messages, where that is always 0. */
  readonly unsent?: number;
  onmessage: ((event: any) => unknown) | null;
  onclose: ((event: any) => unknown) | null;
  onerror: ((event: any) => unknown) | null;
  /** Called with the path of a volatile value and its JSON, empty where nothing stands any more. */
  onvalue?: ((path: string, json: string) => unknown) | null;
  send(text: string): void;
  close(): void;
}

const [TEXT, BINARY] = [0x81, 0x82];
const SETTLE_MS = 150;
const PATHS_MAX = 1024;
const PATH_BYTES_MAX = 4096;
const HEAD_BYTES = 24;
const GOODBYE_MS = 100;
const DATAGRAMS_WAITING_MAX = 256;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function number(value: number): number[] {
  const digits: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) digits.push((value % 128) | 128);
  return [...digits, value];
}

function join(parts: (Uint8Array | number[])[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Where the server may be reached so; null where it may not. */
export async function findOffer(url: string): Promise<{ url: string; hashes: string[] } | null> {
  const answer = await fetch(url);
  const offer = answer.ok ? await answer.json() : null;
  return typeof offer?.url === 'string' ? offer : null;
}

/** What the server's numbers mean, and what was heard of them. Whatever the bytes, nothing is thrown. */
export class Heard {
  private epoch = 0;
  private known = new Map<number, { path: string; heard: number }>();
  private data: Uint8Array = new Uint8Array(0);
  private at = 0;

  constructor(private readonly told: (path: string, json: string) => void) {}

  /** A binary frame of the stream. */
  agree(payload: Uint8Array): void {
    this.data = payload;
    this.at = 1;
    switch (payload[0]) {
      case 1: {
        const heard = this.number() - 1;
        this.known.set(this.number(), { path: decoder.decode(payload.subarray(this.at)), heard });
        break;
      }
      case 2: this.epoch = this.number(); break;
      case 3: this.take(); break;
      case 4: this.known.clear();
    }
  }

  receive(datagram: Uint8Array): void {
    this.data = datagram;
    this.at = 0;
    if (this.number() === this.epoch) this.take();
  }

  private take(): void {
    while (this.at < this.data.length) {
      const known = this.known.get(this.number());
      const sequence = this.number();
      const end = this.number() + this.at;
      if (!(end <= this.data.length)) return;
      const json = this.data.subarray(this.at, end);
      this.at = end;
      if (known && sequence > known.heard) {
        known.heard = sequence;
        this.told(known.path, decoder.decode(json));
      }
    }
  }

  /** The next number; NaN where there is none, which equals nothing. */
  private number(): number {
    for (let value = 0, unit = 1; this.at < this.data.length; unit *= 128) {
      const digit = this.data[this.at++]!;
      value += (digit & 127) * unit;
      if (digit < 128) return value;
    }
    return NaN;
  }
}

export class TransportSocket implements Socket {
  onmessage: Socket['onmessage'] = null;
  onclose: Socket['onclose'] = null;
  onerror: Socket['onerror'] = null;
  onvalue: Socket['onvalue'] = null;
  private readonly heard = new Heard((path, json) => this.onvalue?.(path, json));
  /** What waits is a value for each path, here. */
  readonly bufferedAmount = 0;
  unsent = 0;
  private readonly transport: WebTransport;
  private stream: WritableStreamDefaultWriter<Uint8Array> | undefined;
  private datagrams: WritableStreamDefaultWriter<Uint8Array> | undefined;
  /** Bytes of a value that a datagram has room for. */
  private room = 0;
  private isOver = false;
  private sequence = 0;
  /** Up to which datagrams are void. */
  private fenced = 0;
  private numbers = new Map<string, number>();
  /** Values that go in the next datagram, by path. */
  private fresh = new Map<string, Uint8Array>();
  private isFlushDue = false;
  /** Messages for the stream of what has only gone in datagrams: of this period, and of the one before. */
  private unsettled = new Map<string, string>();
  private older = new Map<string, string>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(offer: { url: string; hashes: string[] }, session: string) {
    const serverCertificateHashes = offer.hashes.map((hash) => ({ algorithm: 'sha-256', value: Uint8Array.from(atob(hash), (c) => c.charCodeAt(0)) }));
    this.transport = new WebTransport(`${offer.url}&dg=1${session}`, serverCertificateHashes.length ? { serverCertificateHashes } : {});
    this.open().catch(() => this.over());
    this.transport.closed.catch(() => {}).then(() => this.over());
  }

  private async open(): Promise<void> {
    await this.transport.ready;
    const { readable, writable } = await this.transport.createBidirectionalStream();
    this.stream = writable.getWriter();
    const { datagrams } = this.transport as any;
    this.datagrams = (datagrams.writable ?? datagrams.createWritable()).getWriter();
    this.room = datagrams.maxDatagramSize - HEAD_BYTES;
    // Browsers keep one that is not read yet, and lose the others.
    datagrams.incomingHighWaterMark = DATAGRAMS_WAITING_MAX;
    this.frame(BINARY, []);
    void this.listen(datagrams.readable.getReader());
    const reader = readable.getReader();
    let held = new Uint8Array(0);
    for (;;) {
      const { value, done } = await reader.read();
      if (done || this.isOver) return this.over();
      held = held.length ? join([held, value]) : value;
      let at = 0;
      while (at + 2 <= held.length) {
        const isLong = held[at + 1] === 126;
        const start = at + (isLong ? 4 : 2);
        if (start > held.length) break;
        const end = start + (isLong ? (held[at + 2]! << 8) | held[at + 3]! : held[at + 1]!);
        if (end > held.length) break;
        if (held[at] === TEXT) this.onmessage?.({ data: decoder.decode(held.subarray(start, end)) });
        else if (held[at] === BINARY) this.heard.agree(held.subarray(start, end));
        at = end;
      }
      held = held.subarray(at);
    }
  }

  private async listen(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    try {
      for (let next; !(next = await reader.read()).done; ) this.heard.receive(next.value);
    } catch {
      this.over();
    }
  }

  send(text: string): void {
    this.settle();
    this.frame(TEXT, encoder.encode(text));
  }

  /** A value as JSON, which may be lost if a newer one follows soon. `message`: what says the same over the stream. */
  sendVolatile(path: string, value: string, message: string): void {
    const bytes = encoder.encode(value);
    if (bytes.length > this.room || !this.numbers.has(path)) {
      this.settle();
      this.frame(TEXT, encoder.encode(message));
      return this.agree(path);
    }
    this.fresh.set(path, bytes);
    this.older.delete(path);
    this.unsettled.set(path, message);
    this.timer ??= setTimeout(() => this.tick(), SETTLE_MS);
    this.flushSoon(Promise.resolve());
  }

  close(): void {
    if (this.isOver) return;
    this.settle();
    this.isOver = true;
    this.stream?.close().catch(() => {});
    setTimeout(() => this.transport.close(), GOODBYE_MS);
  }

  private over(): void {
    if (this.isOver) return;
    this.isOver = true;
    clearTimeout(this.timer);
    this.onclose?.(null);
  }

  /** From the next datagram on, a number means `path`. It is said over the stream, which may be slower: so is the first value. */
  private agree(path: string): void {
    const bytes = encoder.encode(path);
    // A number that meant another path would mean it for datagrams that come before the stream says so: the others stay on the stream.
    if (this.numbers.has(path) || bytes.length > PATH_BYTES_MAX || this.numbers.size === PATHS_MAX) return;
    const own = this.numbers.size;
    this.numbers.set(path, own);
    this.frame(BINARY, join([[1], number(this.sequence + 1), number(own), bytes]));
  }

  private frame(kind: number, payload: Uint8Array | number[]): void {
    const size = payload.length;
    const head = size < 126 ? [kind, size] : [kind, 126, size >> 8, size & 255];
    this.unsent += 1;
    this.stream?.write(join([head, payload])).then(() => { this.unsent -= 1; }, () => this.over());
  }

  private flushSoon(turn: Promise<unknown>): void {
    if (this.isFlushDue) return;
    this.isFlushDue = true;
    turn.then(() => this.flush(), () => this.over());
  }

  /** Values that the network does not take yet wait, and newer ones take their place. */
  private flush(): void {
    this.isFlushDue = false;
    const datagrams = this.datagrams!;
    while (this.fresh.size && !this.isOver) {
      if (datagrams.desiredSize! <= 0) return this.flushSoon(datagrams.ready);
      const parts: (Uint8Array | number[])[] = [number(++this.sequence)];
      let left = this.room;
      for (const [path, value] of this.fresh) {
        if (value.length > left) break;
        left -= value.length + 2 * 5;
        parts.push(number(this.numbers.get(path)!), number(value.length), value);
        this.fresh.delete(path);
      }
      datagrams.write(join(parts)).catch(() => {});
    }
  }

  private tick(): void {
    this.timer = undefined;
    const settled = this.older;
    this.older = this.unsettled;
    this.unsettled = new Map();
    if (settled.size) this.say(settled.values());
    if (this.older.size) this.timer = setTimeout(() => this.tick(), SETTLE_MS);
  }

  /** Says over the stream all that has only gone in datagrams. */
  private settle(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.fresh.clear();
    const { older, unsettled } = this;
    this.older = new Map();
    this.unsettled = new Map();
    this.say([...older.values(), ...unsettled.values()]);
  }

  private say(messages: Iterable<string>): void {
    if (this.fenced < this.sequence) {
      this.fenced = this.sequence;
      this.frame(BINARY, [2, ...number(this.sequence)]);
    }
    for (const message of messages) this.frame(TEXT, encoder.encode(message));
  }
}
