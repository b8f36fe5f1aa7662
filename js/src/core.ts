/**
 * A client of one database as a state machine: what was asked, what was said, what must be sent. It opens no sockets and knows no time
 * but what it is given. Without a link everything is kept; on a new one the credential goes first, then the listens with the
 * hash of what is known, then unanswered writes as they were asked, then the rest.
 */

import { hashOf } from './hash';
import { Listener, Mirror, Parts, View, Write, overlap, startsWith } from './mirror';
import { DEPTH_MAX, Json, Node, Path, checkKey, formatPath, fromJson, isLocal, isMap, keysOf, parsePath } from './node';
import { Query, Spec } from './query';

export type Done = (status: string, payload: Json) => void;

export const DISCONNECTED = 'disconnected';
const enum Rank { WRITE, ON_DISCONNECT, READ, NOW }

/** settle: undoes what was shown of it, or leaves it to what the server says. wasSent: on some link. */
interface Request { action: string; body: Json; done: Done; rank: Rank; survives: boolean; number: number | null; wasSent?: boolean; settle?: (status: string) => void }

/** Makes the request nobody's: one that has not been sent never is. Gives whether it may have been carried out. */
export type Forget = () => boolean;

export class Core {
  offsetMs = 0;
  /** Whether a server has told its time. */
  private isTimed = false;
  readonly mirror: Mirror;
  isOpen = false;
  session: string | null = null;
  /** JSON messages to be sent. */
  outgoing: string[] = [];
  /** Volatile values to be sent, the last for each place. */
  volatile = new Map<string, Json>();
  onAuthRevoked: (text: string) => void = () => {};
  private volatileRate = 0;
  /** What the server shall do when this link ends. */
  private leaving: Parts = [];
  private lastNumber = 0;
  private readonly requests = new Set<Request>();
  /** Writes that the server has answered before it said what stands there. */
  private readonly answered = new Set<Write>();
  private byNumber = new Map<number, Request>();

  constructor(private readonly localMs: () => number) {
    this.mirror = new Mirror(() => this.serverMs());
    this.tellState();
  }

  serverMs(): number {
    return this.localMs() + this.offsetMs;
  }

  /** Whether an answer is due on this link. */
  get isWaiting(): boolean {
    return this.byNumber.size > 0;
  }

  // The link

  opened(hello: { ts: number; s: string }, token: string | null, onAuth: Done): void {
    this.offsetMs = hello.ts - this.localMs();
    this.isTimed = true;
    this.session = hello.s;
    this.isOpen = true;
    if (token !== null) this.authenticate(token, onAuth);
    if (this.volatileRate) this.setVolatileRate(this.volatileRate);
    for (const view of [...this.mirror.views.values()]) if (!view.isAsked) this.ask(view);
    for (const request of [...this.requests].sort((a, b) => a.rank - b.rank)) if (request.number === null) this.send(request);
    this.tellState();
  }

  lost(): void {
    this.isOpen = false;
    this.outgoing = [];
    this.volatile.clear();
    this.byNumber.clear();
    for (const view of this.mirror.views.values()) view.isAsked = false;
    const ended: Request[] = [];
    for (const request of this.requests) {
      if (request.number !== null && !request.survives) ended.push(request);
      request.number = null;
    }
    for (const request of ended) this.finish(request, DISCONNECTED, 'the connection was lost before the answer came: the outcome is unknown');
    this.tellState();
    // What was left to the server to do it does now, unheard by us.
    const { leaving } = this;
    this.leaving = [];
    for (const part of leaving) this.mirror.stands(part[0], this.mirror.guessed([part]), null);
  }

  /** A data message. */
  said(message: Json): void {
    if (typeof message.r === 'number') {
      const request = this.byNumber.get(message.r);
      this.byNumber.delete(message.r);
      if (request) this.finish(request, message.b?.s ?? 'failed', message.b?.d);
      return;
    }
    const body = message.b ?? {};
    switch (message.a) {
      case 'd': return this.mirror.told(parsePath(body.p), body.d, body.t ?? null, false);
      case 'm': return this.mirror.told(parsePath(body.p), body.d, body.t ?? null, true);
      case 'c': return this.cancelled(parsePath(body.p), body.q);
      case 'ac': return this.onAuthRevoked(String(body.d ?? ''));
      case 'sd': console.warn(`meadowlark: ${body.msg}`);
    }
  }

  // Asking

  authenticate(token: string, done: Done): void {
    this.askNow(token.split('.').length === 3 ? 'auth' : 'gauth', { cred: token }, done);
  }

  unauthenticate(done: Done): void {
    this.askNow('unauth', {}, done);
  }

  /** How often a second this client wants to be told of volatile values at most, on each link from now on; 0: of each at once. */
  setVolatileRate(perSecond: number): void {
    this.volatileRate = perSecond;
    this.askNow('vr', { d: perSecond }, () => {});
  }

  listen(path: Path, query: Query, listener: Listener): View {
    const view = this.mirror.open(path, query);
    if (isLocal(path)) { if (!view.isKnown) this.tellState(); }
    else if (this.isOpen && !view.isAsked) this.ask(view);
    this.mirror.add(view, listener);
    return view;
  }

  unlisten(view: View, listener: Listener): void {
    if (!view.listeners.includes(listener)) return;
    view.listeners = view.listeners.filter((other) => other !== listener);
    if (view.listeners.length) return;
    this.mirror.close(view);
    if (view.isAsked && !isLocal(view.path) && (view.tag !== null || !this.mirror.wholeViews(view.path).length)) this.askNow('n', bodyOf(view), () => {
      if (view.tag === null) this.mirror.restore(view.path);
    });
  }

  set(path: Path, value: Json, done: Done): Forget {
    checkWritable(path);
    return this.write({ path, parts: [[path, fromJson(value, path)]], isHidden: false }, 'p', { p: formatPath(path), d: value }, done, true);
  }

  update(path: Path, children: Record<string, Json>, done: Done): Forget {
    checkWritable(path);
    return this.write({ path, parts: partsOf(path, children), isHidden: false }, 'm', { p: formatPath(path), d: children }, done, true);
  }

  /** A transaction's write, carried out if what stands there has the hash of `before`. */
  compareAndSet(write: Write, value: Json, before: Node | null, done: Done): Forget {
    return this.write(write, 'p', { p: formatPath(write.path), d: value, h: hashOf(before) }, done, false);
  }

  /** A value that only matters now: sent if there is a link, and not answered. */
  setVolatile(path: Path, value: Json): boolean {
    checkWritable(path);
    fromJson(value, path);
    if (this.isOpen) this.volatile.set(formatPath(path), value);
    return this.isOpen;
  }

  get(path: Path, query: Query, done: Done): Forget {
    return this.add({ action: 'g', body: { p: formatPath(path), q: query.spec }, done, rank: Rank.READ, survives: true, number: null });
  }

  onDisconnect(action: 'o' | 'om' | 'oc', path: Path, value: Json, done: Done): Forget {
    checkWritable(path);
    const parts = action === 'o' ? [[path, fromJson(value, path)] as const] : action === 'om' ? partsOf(path, value) : [];
    const answered: Done = (status, payload) => {
      if (status === 'ok') {
        for (const [place] of action === 'oc' ? [[path]] as const : parts) this.leaving = this.leaving.flatMap((part) => without(part, place));
        this.leaving = [...this.leaving, ...parts];
      }
      done(status, payload);
    };
    return this.add({ action, body: { p: formatPath(path), d: value }, done: answered, rank: Rank.ON_DISCONNECT, survives: false, number: null });
  }

  failAll(text: string): void {
    this.isOpen = false;
    for (const request of [...this.requests]) this.finish(request, DISCONNECTED, text);
    for (const view of [...this.mirror.views.values()]) this.mirror.ended(view, DISCONNECTED, text);
  }

  // Inside

  private write(write: Write, action: string, body: Json, done: Done, survives: boolean): Forget {
    const forget = this.add({ action, body, done, rank: Rank.WRITE, survives, number: null, settle: (status) => {
      if (status !== 'ok') return this.mirror.settle(write);
      this.answered.add(write);
      this.settleAll();
    } });
    this.mirror.write(write);
    return forget;
  }

  /** What was answered counts no more once the server has said what stands there, which takes it a while after a reconnect. */
  private settleAll(): void {
    for (const write of this.answered) {
      if ([...this.mirror.views.values()].some((view) => view.isAwaited && write.parts.some(([path]) => overlap(path, view.path)))) continue;
      this.answered.delete(write);
      this.mirror.settle(write);
    }
  }

  private add(request: Request): Forget {
    this.requests.add(request);
    if (this.isOpen) this.send(request);
    return () => {
      request.done = () => {};
      request.survives = false;
      if (request.number === null) this.finish(request, '', null);
      return !!request.wasSent;
    };
  }

  /** For what means nothing on another link. */
  private askNow(action: string, body: Json, done: Done): void {
    if (this.isOpen) this.add({ action, body, done, rank: Rank.NOW, survives: false, number: null });
  }

  private send(request: Request): void {
    // What was written before it comes before it.
    for (const [path, value] of this.volatile) this.outgoing.push(volatileMessage(path, JSON.stringify(value)));
    this.volatile.clear();
    request.number = ++this.lastNumber;
    request.wasSent = true;
    this.byNumber.set(request.number, request);
    this.outgoing.push(JSON.stringify({ t: 'd', d: { r: request.number, a: request.action, b: request.body } }));
  }

  private finish(request: Request, status: string, payload: Json): void {
    this.requests.delete(request);
    request.settle?.(status);
    request.done(status, payload);
  }

  private ask(view: View): void {
    if (isLocal(view.path)) return;
    const views = () => (view.tag !== null ? [view] : this.mirror.wholeViews(view.path));
    for (const asked of views()) {
      asked.isAsked = asked.isAwaited = true;
      asked.before = [asked.isKnown, asked.server];
    }
    this.askNow('q', { ...bodyOf(view), h: hashOf(view.isKnown ? view.server : null) }, (status, payload) => {
      for (const asked of views()) {
        asked.isAwaited = false;
        if (this.mirror.findView(asked.path, asked.query) !== asked) continue;
        if (status === 'ok') this.mirror.confirmed(asked);
        else if (status !== DISCONNECTED) this.mirror.ended(asked, status, typeof payload === 'string' ? payload : '');
      }
      if (status !== DISCONNECTED) this.settleAll();
      if (status === 'ok' && payload?.w?.includes('no_index')) {
        console.warn(`meadowlark: no_index: add ".indexOn": "${view.query.order}" at ${formatPath(view.path)} to the rules`);
      }
    });
  }

  private cancelled(path: Path, specs: Spec[] | undefined): void {
    const views = specs ? specs.map((spec) => this.mirror.findView(path, new Query(spec))) : this.mirror.wholeViews(path);
    for (const view of views) if (view) this.mirror.ended(view, 'permission_denied', 'this client may not read there any more');
  }

  /** Views below `.info` show this client's own state. */
  private tellState(): void {
    const state: Json = { connected: this.isOpen };
    if (this.isTimed) state.serverTimeOffset = this.offsetMs;
    // The time first, so that who hears of the connection has it; and nothing of it before a server has told it.
    for (const key of Object.keys(state).reverse()) this.mirror.told(['.info', key], state[key], null, false);
    if (this.mirror.wholeViews(['.info']).length) this.mirror.told(['.info'], state, null, false);
  }
}

/** It has no number, since nobody waits for an answer. */
export function volatileMessage(path: string, json: string): string {
  return `{"t":"d","d":{"a":"v","b":{"p":${JSON.stringify(path)},"d":${json}}}}`;
}

function bodyOf(view: View): Json {
  return view.tag === null ? { p: formatPath(view.path) } : { p: formatPath(view.path), q: view.query.spec, t: view.tag };
}

function partsOf(path: Path, children: Record<string, Json>): Parts {
  return Object.keys(children).map((key) => {
    const place = [...path, ...parsePath(key)];
    checkWritable(place);
    return [place, fromJson(children[key], place)];
  });
}

/** What is left of a part if nothing is to be done at `place`. */
function without(part: Parts[number], place: Path): Parts {
  const [path, node] = part;
  if (startsWith(path, place)) return [];
  if (!startsWith(place, path) || !isMap(node)) return [part];
  return keysOf(node).flatMap((key) => without([[...path, key], node[key]!], place));
}

function checkWritable(path: Path): void {
  if (isLocal(path)) throw new Error('.info cannot be written');
  const keys = path.at(-1) === '.priority' ? path.slice(0, -1) : path;
  if (keys.length > DEPTH_MAX) throw new Error(`a path has more than ${DEPTH_MAX} levels`);
  for (const key of keys) checkKey(key);
}
