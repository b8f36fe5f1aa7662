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
  /** Milliseconds of silence after which the server is asked whether it is there; half as many without an answer end the connection. */
  silenceMs?: number;
  /** Milliseconds that a read may take. */
  timeoutMs?: number;
  /** What may carry the connection; by default WebTransport where the browser has it and the server offers it, else a WebSocket. */
  transports?: ('webtransport' | 'websocket')[];
  /** A WebSocket class in place of the global one, or, where there is none, of the one of the package `ws`. */
  WebSocket?: new (url: string) => WebSocket;
}

const FRAME_UNITS = 16384;
const SILENCE_MS = 8000;
const CONNECT_MS = 10_000;
const TOKEN_MS = 30_000;
/** For a WebTransport to be open, from asking where; then a WebSocket is tried, and for a while nothing else. */
const TRANSPORT_MS = 800;
const WITHOUT_TRANSPORT_MS = 300_000;
const TRANSPORT_RETRY_MS = 150;
const RETRY_MS_MIN = 200;
const RETRY_MS_MAX = 30_000;
const RETRY_FACTOR = 1.5;
const BUFFERED_BYTES_MAX = 65_536;
const CONGESTED_MS = 20;

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
  private pulse: ReturnType<typeof setInterval> | undefined;
  private heardAt = 0;
  /** When the server was asked; 0 when nothing is asked, or it has been heard since. */
  private askedAt = 0;
  private framesLeft = 0;
  private parts: string[] = [];
  private isWanted = false;
  private mustRefresh = false;
  private isFlushDue = false;
  private readonly wake = (): void => { if (this.isWanted && !this.socket) this.retry(0); };

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
    if (typeof globalThis.addEventListener === 'function') globalThis.addEventListener('online', this.wake);
  }

  start(): void {
    if (this.isWanted) return;
    this.isWanted = true;
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
    if (typeof globalThis.removeEventListener === 'function') globalThis.removeEventListener('online', this.wake);
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
      this.sendVolatile();
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
    const { transports, WebSocket } = this.options;
    if (typeof WebTransport !== 'function' || (transports && !transports.includes('webtransport'))) return false;
    return !WebSocket && (Date.now() >= this.withoutTransportUntil || !this.mayWebSocket());
  }

  private mayWebSocket(): boolean {
    return this.options.transports?.includes('websocket') ?? true;
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
    const message = JSON.parse(frame);
    if (message.t === 'd') {
      this.core.said(message.d);
      this.flushSoon();
    } else if (message.t === 'c') {
      this.control(message.d, token);
    }
  }

  private heardValue(p: string, json: string): void {
    this.heardAt = Date.now();
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
        this.retryMs = RETRY_MS_MIN;
        if (this.socket instanceof TransportSocket) this.withoutTransportUntil = 0;
        this.pulse = setInterval(() => this.check(), (this.options.silenceMs ?? SILENCE_MS) / 8);
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

  /** A server that is silent is asked; one that stays silent is dead. */
  private check(): void {
    const silence = this.options.silenceMs ?? SILENCE_MS;
    const now = Date.now();
    if (this.askedAt) {
      if (now - this.askedAt > silence / 2) this.over();
    } else if (now - this.heardAt > silence) {
      this.askedAt = now;
      this.socket?.send('{"t":"c","d":{"t":"p","d":{}}}');
    }
  }

  /** This connection has ended, however it did. */
  private over(socket: Socket | null = this.socket): void {
    if (socket === null || socket !== this.socket) return;
    this.socket = null;
    clearTimeout(this.timer);
    clearInterval(this.pulse);
    socket.onmessage = socket.onvalue = socket.onclose = socket.onerror = null;
    socket.close();
    const wasOpen = this.core.isOpen;
    if (wasOpen) this.core.lost();
    else this.host = this.address.host;
    if (!this.isWanted) return;
    // Where a WebTransport died another way is found within a second, if there is one.
    if (socket instanceof TransportSocket && this.mayWebSocket()) this.retry(wasOpen ? Math.random() * TRANSPORT_RETRY_MS : 0);
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
