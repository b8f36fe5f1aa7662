/**
 * Keeps a core connected: opens WebSockets, tries again with growing pauses, finds out when the other side is dead, and moves
 * messages. What time and chance there is, is here.
 */

import { Core, volatileMessage } from './core';
import { Json } from './node';
import { Socket, TransportSocket, findOffer } from './transport';

export interface Options {
  /** A credential, or what gives one; called at each connection, with true when the last was refused. */
  token?: string | null | ((mustRefresh: boolean) => Promise<string | null> | string | null);
  /**
   * Milliseconds of silence after which the server is asked whether it is there (5,000 if nothing else is said); half as many without
   * an answer end the connection. Where something waits for an answer it is asked after half as many, and where nothing has happened
   * for twelve times as many only after six times as many.
   */
  silenceMs?: number;
  /** Milliseconds that a read may take; 10,000 if nothing else is said. */
  timeoutMs?: number;
  /** Milliseconds that a write, a transaction or an onDisconnect may take; if nothing is said they wait for a connection, however long. */
  writeTimeoutMs?: number;
  /** What may carry the connection; by default WebTransport where the browser has it and the server offers it, else a WebSocket. */
  transports?: ('webtransport' | 'websocket')[];
  /** A WebSocket class in place of the global one, or, where there is none, of the one of the package `ws`. */
  WebSocket?: new (url: string) => WebSocket;
}

const FRAME_UNITS = 16384;
const SILENCE_MS = 5000;
/** A connection on which nothing has happened for so many silences costs the server next to nothing: it is asked so much less often. */
const [IDLE_AFTER, IDLE_FACTOR] = [12, 6];
const CONNECT_MS = 10_000;
const TOKEN_MS = 30_000;
/** For a WebTransport to be open, from asking where; then a WebSocket is tried, and for a while nothing else. */
const TRANSPORT_MS = 800;
const WITHOUT_TRANSPORT_MS = 300_000;
const TRANSPORT_RETRY_MS = 150;
const RETRY_MS_MIN = 200;
const RETRY_MS_MAX = 30_000;
const RETRY_FACTOR = 1.5;
/** Who was connected for less has not been let in for good: pauses go on growing. */
const STEADY_MS = 5000;
const BUFFERED_BYTES_MAX = 65_536;
const CONGESTED_MS = 20;

/** Of all connections of this program. */
export const settings: { log?: (message: string) => unknown; transports?: Options['transports'] } = {};

/** Node before 22 has no WebSocket of its own: the package `ws` has. */
async function fromPackage(): Promise<NonNullable<Options['WebSocket']>> {
  const name = 'ws';
  try {
    return (await import(name)).default;
  } catch {
    throw new Error('there is no WebSocket here: install the package ws, or use Node 22');
  }
}

export class Connection {
  private socket: Socket | null = null;
  private attempt = 0;
  private withoutTransportUntil = 0;
  private host: string;
  private retryMs = RETRY_MS_MIN;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private pulse: ReturnType<typeof setTimeout> | undefined;
  private pulseAt = 0;
  private openedAt = 0;
  private heardAt = 0;
  /** When something other than asking and answering was sent or heard. */
  private activeAt = 0;
  /** What had not left when it was last looked at. */
  private unsent = 0;
  /** When the server was asked; 0 when nothing is asked, or it has been heard since. */
  private askedAt = 0;
  private framesLeft = 0;
  private parts: string[] = [];
  isWanted = false;
  private mustRefresh = false;
  private isFlushDue = false;
  /** The network has come or gone, or the page is looked at again: what is known of the connection may be old. */
  private readonly wake = (): void => {
    if (this.isWanted && !this.socket) this.retry(0);
    else if (this.core.isOpen && !this.askedAt) this.probe();
  };

  constructor(
    private readonly core: Core,
    private readonly address: { host: string; database: string | null; isSecure: boolean },
    private readonly options: Options,
  ) {
    this.host = address.host;
    core.onAuthRevoked = () => {
      this.mustRefresh = true;
      this.over();
    };
    this.attend('addEventListener');
  }

  start(): void {
    if (this.isWanted) return;
    this.isWanted = true;
    this.retryMs = RETRY_MS_MIN;
    this.retry(0);
  }

  /** Ends the connection until `start`. */
  stop(): void {
    this.isWanted = false;
    clearTimeout(this.timer);
    this.over();
  }

  dispose(): void {
    this.stop();
    this.attend('removeEventListener');
  }

  private attend(how: 'addEventListener' | 'removeEventListener'): void {
    for (const event of ['online', 'offline']) globalThis[how]?.(event, this.wake);
    globalThis.document?.[how]('visibilitychange', this.wake);
  }

  /** Sends what the core has, at the end of this turn. */
  flushSoon(): void {
    if (this.isFlushDue) return;
    this.isFlushDue = true;
    queueMicrotask(() => {
      this.isFlushDue = false;
      const messages = this.core.outgoing;
      this.core.outgoing = [];
      for (const message of messages) this.send(message);
      if (messages.length || this.core.volatile.size) this.activeAt = Date.now();
      this.sendVolatile();
      // Who waits for an answer wants to know soon that none will come.
      if (this.core.isOpen && this.core.isWaiting && this.pulseAt - Date.now() > this.silence / 2) this.checkIn(this.silence / 2);
    });
  }

  /** Goes on as whoever the token now names. */
  async refreshToken(): Promise<{ status: string; payload: Json }> {
    const token = await this.credential();
    return new Promise((resolve) => {
      const done = (status: string, payload: Json) => resolve({ status, payload });
      if (!this.core.isOpen) done('ok', null);
      else if (token === null) this.core.unauthenticate(done);
      else this.core.authenticate(token, done);
      this.flushSoon();
    });
  }

  set token(token: Options['token']) {
    this.options.token = token;
  }

  private retry(pauseMs: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.connect(), pauseMs);
  }

  private async connect(): Promise<void> {
    if (this.socket) return;
    const attempt = ++this.attempt;
    const isSuperseded = () => this.socket || !this.isWanted || attempt !== this.attempt;
    const name = this.address.database ? `&ns=${encodeURIComponent(this.address.database)}` : '';
    let token: string | null, socket: Socket | undefined, connectMs = CONNECT_MS;
    try {
      token = await this.credential();
      if (this.mayTransport()) {
        const wholeMs = this.mayWebSocket() ? TRANSPORT_MS : CONNECT_MS;
        const until = Date.now() + wholeMs;
        this.withoutTransportUntil = Date.now() + WITHOUT_TRANSPORT_MS;  // Unless it comes through.
        const late = new Promise<undefined>((resolve) => setTimeout(resolve, wholeMs));
        const offer = await Promise.race([findOffer(`http${this.address.isSecure ? 's' : ''}://${this.host}/.wt?v=5${name}`), late]).catch(() => {
          this.withoutTransportUntil = 0;  // Nobody is there to say no.
          return null;
        });
        if (isSuperseded()) return;
        if (offer === undefined) this.withoutTransportUntil = 0;  // A server that is slow to say yes may do so next time.
        connectMs = until - Date.now();
        if (offer && connectMs > 0) socket = new TransportSocket(offer, this.last());
      }
      if (!socket && !this.mayWebSocket()) return this.later();
      if (!socket) {
        connectMs = CONNECT_MS;
        const WebSocket = this.options.WebSocket ?? globalThis.WebSocket ?? (await fromPackage());
        if (isSuperseded()) return;
        socket = new WebSocket(`ws${this.address.isSecure ? 's' : ''}://${this.host}/.ws?v=5${this.last()}${name}`);
      }
    } catch (error) {
      console.warn('meadowlark: cannot connect', error);
      return this.later();
    }
    this.socket = socket;
    this.framesLeft = 0;
    this.parts = [];
    this.timer = setTimeout(() => this.over(socket), connectMs);
    socket.onmessage = (event) => {
      if (this.socket === socket) this.heard(String(event.data), token);
    };
    socket.onvalue = (path, json) => {
      if (this.socket === socket) this.heardValue(path, json);
    };
    socket.onclose = () => this.over(socket);
    socket.onerror = () => this.over(socket);
  }

  private last(): string {
    return this.core.session ? `&ls=${encodeURIComponent(this.core.session)}` : '';
  }

  private mayTransport(): boolean {
    if (typeof WebTransport !== 'function' || !(this.transports?.includes('webtransport') ?? true)) return false;
    return !this.options.WebSocket && (Date.now() >= this.withoutTransportUntil || !this.mayWebSocket());
  }

  private mayWebSocket(): boolean {
    return this.transports?.includes('websocket') ?? true;
  }

  private get transports(): Options['transports'] {
    return settings.transports ?? this.options.transports;
  }

  private async credential(): Promise<string | null> {
    const { token } = this.options;
    if (typeof token !== 'function') return token ?? null;
    const mustRefresh = this.mustRefresh;
    this.mustRefresh = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => { timer = setTimeout(() => reject(new Error(`no token within ${TOKEN_MS / 1000} s`)), TOKEN_MS); });
    return Promise.race([token(mustRefresh), late]).finally(() => clearTimeout(timer));
  }

  private heard(frame: string, token: string | null): void {
    this.heardAt = Date.now();
    this.askedAt = 0;
    if (this.framesLeft) {
      this.parts.push(frame);
      if (--this.framesLeft) return;
      frame = this.parts.join('');
      this.parts = [];
    } else if (frame.length <= 6 && /^\d+$/.test(frame)) {
      this.framesLeft = Number(frame);
      return;
    }
    settings.log?.(`← ${frame}`);
    const message = JSON.parse(frame);
    if (message.t === 'd') {
      this.activeAt = this.heardAt;
      this.core.said(message.d);
      this.flushSoon();
    } else if (message.t === 'c') {
      this.control(message.d, token);
    }
  }

  private heardValue(p: string, json: string): void {
    this.heardAt = this.activeAt = Date.now();
    this.askedAt = 0;
    let d: Json = null;
    try {
      if (json) d = JSON.parse(json);
    } catch {
      return;
    }
    this.core.said({ a: 'd', b: { p, d } });
    this.flushSoon();
  }

  private control(message: { t: string; d: Json }, token: string | null): void {
    switch (message.t) {
      case 'h':
        clearTimeout(this.timer);
        if (this.socket instanceof TransportSocket) this.withoutTransportUntil = 0;
        this.openedAt = this.activeAt = this.heardAt;
        this.unsent = 0;
        this.checkIn(this.silence);
        this.core.opened(message.d, token, (status, payload) => this.authenticated(status, payload));
        this.flushSoon();
        break;
      case 'r':
        this.host = message.d;
        this.over();
        break;
      case 's':
        this.isWanted = false;
        this.core.failAll(`the server will not serve this database: ${message.d}`);
        this.over();
        break;
    }
  }

  private authenticated(status: string, payload: Json): void {
    if (status === 'ok' || status === 'disconnected') return;
    console.warn(`meadowlark: the credential was refused: ${status} ${payload ?? ''}`);
    this.mustRefresh = true;
    if (typeof this.options.token === 'function') this.over();
  }

  private get silence(): number {
    return this.options.silenceMs ?? SILENCE_MS;
  }

  private checkIn(pauseMs: number): void {
    clearTimeout(this.pulse);
    this.pulseAt = Date.now() + pauseMs;
    this.pulse = setTimeout(() => this.check(), pauseMs);
  }

  /** A server that is silent is asked; one that stays silent is dead. */
  private check(): void {
    const { silence } = this, answerMs = silence / 2, now = Date.now();
    const unsent = this.socket!.unsent ?? this.socket!.bufferedAmount;
    // What is long on its way keeps the question waiting: that it gets less is an answer.
    if (unsent < this.unsent) {
      this.heardAt = now;
      this.askedAt = 0;
    }
    this.unsent = unsent;
    // Whoever slept has not listened: the question is asked again.
    if (now - this.pulseAt > answerMs) return this.probe();
    if (this.askedAt) return now - this.askedAt >= answerMs ? this.over() : this.checkIn(this.askedAt + answerMs - now);
    const patience = this.core.isWaiting ? answerMs : now - this.activeAt > silence * IDLE_AFTER ? silence * IDLE_FACTOR : silence;
    if (now - this.heardAt >= patience) this.probe();
    else this.checkIn(this.heardAt + patience - now);
  }

  private probe(): void {
    this.askedAt = Date.now();
    this.socket?.send('{"t":"c","d":{"t":"p","d":{}}}');
    this.checkIn(this.silence / 2);
  }

  /** This connection has ended, however it did. */
  private over(socket: Socket | null = this.socket): void {
    if (socket === null || socket !== this.socket) return;
    this.socket = null;
    clearTimeout(this.timer);
    clearTimeout(this.pulse);
    this.askedAt = 0;
    socket.onmessage = socket.onvalue = socket.onclose = socket.onerror = null;
    socket.close();
    const wasOpen = this.core.isOpen, isSteady = wasOpen && Date.now() - this.openedAt >= STEADY_MS;
    if (isSteady) this.retryMs = RETRY_MS_MIN;
    if (wasOpen) this.core.lost();
    else this.host = this.address.host;
    if (!this.isWanted) return;
    // Where a WebTransport died another way is found within a second, if there is one.
    if (socket instanceof TransportSocket && this.mayWebSocket() && wasOpen === isSteady) this.retry(wasOpen ? Math.random() * TRANSPORT_RETRY_MS : 0);
    else this.later();
  }

  private later(): void {
    this.retry(this.retryMs * (0.5 + Math.random()));
    this.retryMs = Math.min(this.retryMs * RETRY_FACTOR, RETRY_MS_MAX);
  }

  /** While the socket does not keep up, later values take the place of earlier ones here rather than queue up there. */
  private sendVolatile(): void {
    const { volatile } = this.core;
    if (!this.socket || !volatile.size) return;
    if (this.socket.bufferedAmount > BUFFERED_BYTES_MAX) {
      setTimeout(() => this.flushSoon(), CONGESTED_MS);
      return;
    }
    for (const [path, value] of volatile) {
      const json = JSON.stringify(value), message = volatileMessage(path, json);
      if (this.socket instanceof TransportSocket && message.length <= FRAME_UNITS) this.socket.sendVolatile(path, json, message);
      else this.send(message);
    }
    volatile.clear();
  }

  private send(message: string): void {
    const socket = this.socket;
    if (!socket || !this.core.isOpen) return;
    settings.log?.(`→ ${message}`);
    if (message.length <= FRAME_UNITS) return socket.send(message);
    const pieces: string[] = [];
    for (let start = 0; start < message.length; ) {
      let end = Math.min(start + FRAME_UNITS, message.length);
      // A frame is text of its own: no pair of surrogates is cut.
      if (end < message.length && (message.charCodeAt(end) & 0xfc00) === 0xdc00) end--;
      pieces.push(message.slice(start, end));
      start = end;
    }
    socket.send(String(pieces.length));
    for (const piece of pieces) socket.send(piece);
  }
}
