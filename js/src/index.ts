/**
 * The modular API that users of Firebase know: `ref`, `set`, `onValue`, … with the same names, arguments and events. What differs is
 * said in docs/clients.md.
 */

import { Connection, Options, settings } from './connection';
import { Core, DISCONNECTED, Done, Forget } from './core';
import { Event, Kind, Listener, View, Write, overlap } from './mirror';
import { Json, Node, Priority, checkKey, find, formatPath, fromJson, isLocal, isMap, keysOf, parsePath, priorityOf, toExport, toJson } from './node';
import { EVERYTHING, MAX_NAME, MIN_NAME, Query as QueryValue, Spec } from './query';
import { Window } from './window';

export type { Options } from './connection';
export type { Priority } from './node';

// Databases

export class Database {
  /** @internal */ readonly core = new Core(() => Date.now());
  /** @internal */ connection: Connection;
  /** @internal */ url: string;
  /** @internal Transactions in the order they were asked. Of those whose places overlap only the first is under way: the others
   * would build on what it has written, and fall with it. */
  readonly transactions: { path: readonly string[]; isReady: () => boolean; begin: () => void; hasBegun: boolean }[] = [];
  private keyMs = -1;
  private keyChance: number[] = [];

  /** @internal */
  constructor(url: string, readonly options: Options, readonly app: unknown = null) {
    this.url = url;
    this.connection = new Connection(this.core, parseAddress(url), options);
  }

  /** @internal A promise of what the server answers to what `begin` asks. Throws what that throws. */
  ask(place: string, begin: (done: Done) => Forget, timeoutMs = this.options.writeTimeoutMs, isRead = false): Promise<Json> {
    let resolve!: (payload: Json) => void, reject!: (error: Error) => void;
    const answer = new Promise<Json>((...both) => { [resolve, reject] = both; });
    const forget = begin((status, payload) => {
      stop();
      if (status === 'ok') resolve(payload);
      else reject(new MeadowlarkError(status, typeof payload === 'string' ? payload : '', place, isRead));
    });
    const stop = within(timeoutMs, place, forget, reject);
    this.wake();
    return answer;
  }

  /** @internal */
  wake(): void {
    this.connection.start();
    this.connection.flushSoon();
  }

  /** @internal */
  beginTransactions(): void {
    this.transactions.forEach((one, at) => {
      const mustWait = this.transactions.slice(0, at).some(({ path }) => overlap(path, one.path));
      if (one.hasBegun || mustWait || !one.isReady()) return;
      one.hasBegun = true;
      one.begin();
    });
  }

  /** @internal Keys that sort in the order they were made: time, then chance that counts up within a millisecond. */
  makeKey(): string {
    const now = this.core.serverMs();
    if (now > this.keyMs) {
      this.keyMs = now;
      this.keyChance = Array.from({ length: 12 }, () => Math.floor(Math.random() * 64));
    } else {
      for (let at = 11; at >= 0 && ++this.keyChance[at]! > 63; at--) this.keyChance[at] = 0;
    }
    const time = Array.from({ length: 8 }, (_, at) => Math.floor(this.keyMs / 64 ** (7 - at)) % 64);
    return [...time, ...this.keyChance].map((digit) => ALPHABET[digit]).join('');
  }
}

/** Rejects if it takes longer; gives what ends that. */
function within(timeoutMs: number | undefined, place: string, forget: () => boolean | undefined, reject: (error: Error) => void): () => void {
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => {
    const outcome = forget() ? 'it was sent, and may have been carried out' : 'it was not sent, and never is';
    reject(new MeadowlarkError('timeout', `no answer within ${timeoutMs} ms: ${outcome}`, place));
  }, timeoutMs);
  return () => clearTimeout(timer);
}

const ALPHABET = '-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz';
const DEFAULT = '[DEFAULT]';
const apps = new Map<string, App>();
const databases: { app: unknown; url: string; database: Database }[] = [];

/** Where an app of Firebase, or anything with its options, says where its database is. */
export interface App { readonly name?: string; readonly options: { databaseURL?: string } }

export type FirebaseApp = App;

export function initializeApp(options: { databaseURL?: string; [more: string]: unknown }, config: string | { name?: string } = {}): App {
  const name = typeof config === 'string' ? config : config.name ?? DEFAULT;
  const app = apps.get(name) ?? { name, options };
  if (JSON.stringify(app.options) !== JSON.stringify(options)) throw new Error(`there is an app ${name} with other options`);
  apps.set(name, app);
  return app;
}

export function getApp(name = DEFAULT): App {
  const app = apps.get(name);
  if (!app) throw new Error(`there is no app ${name}: call initializeApp first`);
  return app;
}

export const getApps = (): App[] => [...apps.values()];

export async function deleteApp(app: App): Promise<void> {
  if (apps.get(app.name!) === app) apps.delete(app.name!);
  for (const one of [...databases]) if (one.app === app) close(one.database);
}

/** The database of `app`, or the one at a URL such as `https://host?ns=name`. Connects with the first thing asked of it. */
export function getDatabase(app: App | string = getApp(), urlOrOptions?: string | Options, more: Options = {}): Database {
  const url = typeof urlOrOptions === 'string' ? urlOrOptions : typeof app === 'string' ? app : app.options.databaseURL;
  if (!url) throw new Error('no URL of a database: give one, or an app whose options have a databaseURL');
  const known = databases.find((one) => one.app === app && one.url === url && typeof app !== 'string');
  if (known) return known.database;
  const database = new Database(url, { ...(typeof urlOrOptions === 'object' ? urlOrOptions : {}), ...more }, app);
  databases.push({ app, url, database });
  return database;
}

export function connectDatabaseEmulator(database: Database, host: string, port: number, options: { mockUserToken?: string | Json } = {}): void {
  if (database.connection.isWanted) throw new Error('connectDatabaseEmulator comes before the first use of a database');
  database.connection.dispose();
  const { hostname, searchParams } = new URL(database.url);
  const name = searchParams.get('ns') ?? hostname.split('.')[0];
  const { mockUserToken: user } = options;
  if (user !== undefined) database.options.token = typeof user === 'string' ? user : mockToken(user);
  database.url = `http://${host}:${port}?ns=${name}`;
  database.connection = new Connection(database.core, parseAddress(database.url), database.options);
}

export function goOffline(database: Database): void {
  database.connection.stop();
}

export function goOnline(database: Database): void {
  database.connection.start();
}

/** Goes on as whoever `token` names; null: as nobody. */
export async function signIn(database: Database, token: Options['token']): Promise<void> {
  database.options.token = token;
  const { status, payload } = await database.connection.refreshToken();
  if (status !== 'ok') throw new MeadowlarkError(status, String(payload ?? ''), '/');
}

/** Ends the connection and everything that waits. */
export function close(database: Database): void {
  database.connection.dispose();
  database.core.failAll('the database was closed');
  databases.splice(databases.findIndex((one) => one.database === database) >>> 0, 1);
}

function parseAddress(url: string): { host: string; database: string | null; isSecure: boolean } {
  const { protocol, host, searchParams } = new URL(url);
  return { host, database: searchParams.get('ns'), isSecure: protocol === 'https:' || protocol === 'wss:' };
}

function mockToken(user: Json): string {
  const encode = (value: Json) => btoa(unescape(encodeURIComponent(JSON.stringify(value)))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '');
  const subject = user.sub ?? user.user_id;
  const claims = { iat: 0, exp: 3600, auth_time: 0, sub: subject, user_id: subject, firebase: { sign_in_provider: 'custom', identities: {} }, ...user };
  return `${encode({ alg: 'none', type: 'JWT' })}.${encode(claims)}.`;
}

/** code: the server's status in capitals, such as PERMISSION_DENIED; the message begins with it, but of a read it is the text alone. */
export class MeadowlarkError extends Error {
  readonly code: string;
  constructor(status: string, text: string, readonly path: string, isRead = false) {
    super(text ? (isRead ? text : `${status.toUpperCase()}: ${text}`) : status.toUpperCase());
    this.code = status.toUpperCase();
  }
}

// Places

export class Query {
  /** @internal */
  constructor(readonly database: Database, /** @internal */ readonly path: readonly string[], /** @internal */ readonly value = EVERYTHING) {}

  get ref(): DatabaseReference {
    return new DatabaseReference(this.database, this.path);
  }

  isEqual(other: Query | null): boolean {
    return other !== null && other.database === this.database && formatPath(other.path) === formatPath(this.path) && other.value.id === this.value.id;
  }

  toString(): string {
    const { protocol, host } = new URL(this.database.url);
    return `${protocol}//${host}/${this.path.map(encodeURIComponent).join('/')}`;
  }

  toJSON(): string {
    return this.toString();
  }
}

export class DatabaseReference extends Query {
  get key(): string | null {
    return this.path.at(-1) ?? null;
  }

  get parent(): DatabaseReference | null {
    return this.path.length ? new DatabaseReference(this.database, this.path.slice(0, -1)) : null;
  }

  get root(): DatabaseReference {
    return new DatabaseReference(this.database, []);
  }
}

export interface ThenableReference extends DatabaseReference, Pick<Promise<DatabaseReference>, 'then' | 'catch'> {}

export function ref(database: Database, path = ''): DatabaseReference {
  return placeAt(database, parsePath(path));
}

export function refFromURL(database: Database, url: string): DatabaseReference {
  const { host } = new URL(url), known = [database.url, databases.find((one) => one.database === database)?.url ?? database.url];
  if (!known.some((one) => new URL(one).host === host)) throw new Error(`${host} is not the host of this database`);
  return placeAt(database, parsePath(new URL(url).pathname).map(decodeURIComponent));
}

export function child(parent: DatabaseReference, path: string): DatabaseReference {
  return placeAt(parent.database, [...parent.path, ...parsePath(path)]);
}

function placeAt(database: Database, path: string[]): DatabaseReference {
  if (!isLocal(path)) for (const key of path) checkKey(key);
  return new DatabaseReference(database, path);
}

// Snapshots

export class DataSnapshot {
  /** @internal */
  constructor(readonly ref: DatabaseReference, /** @internal */ readonly node: Node | null, /** @internal */ readonly query = EVERYTHING) {}

  get key(): string | null { return this.ref.key; }
  get priority(): Priority { return priorityOf(this.node); }
  get size(): number { return keysOf(this.node).length; }
  val(): Json { return toJson(this.node); }
  exportVal(): Json { return toExport(this.node); }
  toJSON(): Json { return this.exportVal(); }
  exists(): boolean { return this.node !== null; }
  hasChildren(): boolean { return isMap(this.node); }
  hasChild(path: string): boolean { return find(this.node, parsePath(path)) !== null; }
  child(path: string): DataSnapshot { return new DataSnapshot(child(this.ref, path), find(this.node, parsePath(path))); }

  /** The children in the query's order; `true` from the callback ends it. */
  forEach(callback: (child: IteratedDataSnapshot) => boolean | void): boolean {
    const window = new Window(new QueryValue(this.query.order === '.priority' ? {} : { i: this.query.order }));
    window.update(this.node, null);
    return window.rows().some((row) => callback(new DataSnapshot(child(this.ref, row.key), row.node) as IteratedDataSnapshot) === true);
  }
}

export interface IteratedDataSnapshot extends DataSnapshot { readonly key: string }

// Writing

const place = (query: Query) => formatPath(query.path);

/** Rejects where it throws nothing: as with Firebase, what can never be written throws at once. */
export function set(reference: DatabaseReference, value: Json): Promise<void> {
  return put(reference, reference.path, value);
}

export function setWithPriority(reference: DatabaseReference, value: Json, priority: Priority): Promise<void> {
  return put(reference, reference.path, prioritized(value, priority));
}

export function setPriority(reference: DatabaseReference, priority: Priority): Promise<void> {
  return put(reference, [...reference.path, '.priority'], priority);
}

export function remove(reference: DatabaseReference): Promise<void> {
  return put(reference, reference.path, null);
}

export function update(reference: DatabaseReference, values: Record<string, Json>): Promise<void> {
  const { core } = reference.database;
  return reference.database.ask(place(reference), (done) => core.update(reference.path, values, done)).then(() => undefined);
}

/**
 * Sets a value that only matters now, such as a cursor: it is never on disk, and gone when this client's connection ends. Nothing is
 * answered; the last value of each place wins. False if there is no connection, so that it was not sent.
 */
export function setVolatile(reference: DatabaseReference, value: Json): boolean {
  const isSent = reference.database.core.setVolatile(reference.path, value);
  reference.database.wake();
  return isSent;
}

/**
 * Asks to be told of volatile values at most so often a second, and then of each place the last: for who draws no faster, or has a thin
 * line. 0 asks for each at once. The server may have a bound of its own.
 */
export function setVolatileRate(database: Database, perSecond: number): void {
  if (!(perSecond === 0 || (perSecond >= 0.1 && perSecond <= 1000))) throw new Error(`A rate is 0, or from 0.1 to 1000 a second, not ${perSecond}.`);
  database.core.setVolatileRate(perSecond);
  database.wake();
}

export function push(parent: DatabaseReference, value?: Json): ThenableReference {
  const made = child(parent, parent.database.makeKey()) as ThenableReference;
  const plain = new DatabaseReference(made.database, made.path);
  const written = value === undefined || value === null ? Promise.resolve() : set(plain, value);
  const promise = written.then(() => plain);
  made.then = promise.then.bind(promise);
  made.catch = promise.catch.bind(promise);
  promise.catch(() => {});
  return made;
}

function put(reference: DatabaseReference, path: readonly string[], value: Json): Promise<void> {
  const { core } = reference.database;
  if (value === undefined) throw new Error(`set ${place(reference)}: undefined cannot be written`);
  return reference.database.ask(place(reference), (done) => core.set(path, value, done)).then(() => undefined);
}

function prioritized(value: Json, priority: Priority): Json {
  if (value === null || typeof value !== 'object' || '.sv' in value) return value === null ? null : { '.value': value, '.priority': priority };
  return { ...value, '.priority': priority };
}

export function serverTimestamp(): object {
  return { '.sv': 'timestamp' };
}

export function increment(delta: number): object {
  return { '.sv': { increment: delta } };
}

const EAGER_ATTEMPTS = 5;
/** Who was overtaken more often waits some part of this, so that many clients at one place get out of each other's way. */
const CONTENDED_MS_MAX = 200;

export interface TransactionOptions { readonly applyLocally?: boolean; readonly attempts?: number }
export interface TransactionResult { committed: boolean; snapshot: DataSnapshot; toJSON(): object }

/** `update` gets the value as it is; undefined leaves it so. Tried again when somebody else was quicker, at most `attempts` times. */
export function runTransaction(
  reference: DatabaseReference, update: (value: any) => Json, options: TransactionOptions = {},
): Promise<TransactionResult> {
  const { database, path } = reference;
  const { applyLocally = true, attempts = 100 } = options;
  return new Promise((resolve, reject) => {
    let view: View;
    const isReady = () => view?.isVisible;
    const listener = new Listener(new Set<Kind>(['value']), () => { if (!turn.hasBegun) database.beginTransactions(); }, (status, text) => fail(new MeadowlarkError(status, text, place(reference))));
    const turn = { path, isReady, begin: () => attempt(attempts), hasBegun: false };
    let forget: Forget | undefined, isOver = false;
    const end = () => {
      isOver = true;
      stop();
      database.transactions.splice(database.transactions.indexOf(turn) >>> 0, 1);
      database.core.unlisten(view, listener);
      queueMicrotask(() => database.beginTransactions());
      database.wake();
    };
    const finish = (committed: boolean, node: Node | null) => {
      end();
      const snapshot = new DataSnapshot(reference, node);
      resolve({ committed, snapshot, toJSON: () => ({ committed, snapshot: snapshot.toJSON() }) });
    };
    const fail = (error: Error) => {
      end();
      reject(error);
    };
    const stop = within(database.options.writeTimeoutMs, place(reference), () => forget?.(), (error) => fail(error));
    const attempt = (left: number): void => {
      if (isOver) return;
      const { node } = database.core.mirror.overlaid(view, true);
      let write: Write, value: Json;
      try {
        value = update(toJson(node));
        if (value === undefined) return finish(false, node);
        if (priorityOf(node) !== null && !('.priority' in Object(value))) value = prioritized(value, priorityOf(node));
        write = { path, parts: [[path, fromJson(value, path)]], isHidden: !applyLocally };
      } catch (error) {
        return fail(error as Error);
      }
      const answered: Done = (status, text) => {
        if (status === 'ok') finish(true, view.server);
        else if (status !== 'datastale') fail(new MeadowlarkError(status, typeof text === 'string' ? text : '', place(reference)));
        else if (left > attempts - EAGER_ATTEMPTS) attempt(left - 1);
        else if (left > 1) setTimeout(() => attempt(left - 1), Math.random() * CONTENDED_MS_MAX);
        else fail(new MeadowlarkError('maxretry', `others wrote here ${attempts} times meanwhile`, place(reference)));
      };
      forget = database.core.compareAndSet(write, value, node, answered);
      database.wake();
    };
    view = database.core.listen(path, EVERYTHING, listener);
    database.transactions.push(turn);
    database.wake();
    database.beginTransactions();
  });
}

export class OnDisconnect {
  /** @internal */
  constructor(private readonly reference: DatabaseReference) {}

  set(value: Json): Promise<void> { return this.ask('o', value); }
  setWithPriority(value: Json, priority: Priority): Promise<void> { return this.ask('o', prioritized(value, priority)); }
  update(values: Record<string, Json>): Promise<void> { return this.ask('om', values); }
  remove(): Promise<void> { return this.ask('o', null); }
  cancel(): Promise<void> { return this.ask('oc', null); }

  private ask(action: 'o' | 'om' | 'oc', value: Json): Promise<void> {
    const { database, path } = this.reference;
    return database.ask(place(this.reference), (done) => database.core.onDisconnect(action, path, value, done)).then(() => undefined);
  }
}

export function onDisconnect(reference: DatabaseReference): OnDisconnect {
  return new OnDisconnect(reference);
}

// Reading

/** From what a listener here has, else from the server, which has `timeoutMs` (10 seconds if nothing else is said) to answer. */
export async function get(query: Query): Promise<DataSnapshot> {
  const { core, options } = query.database;
  const { path, value } = query;
  const view = core.mirror.findView(path, value);
  if (view?.isVisible && view.isKnown) return new DataSnapshot(query.ref, view.visible, value);
  const known = value.filters ? null : core.mirror.findVisible(path);
  if (known) return new DataSnapshot(query.ref, known.node, value);
  const payload = await query.database.ask(place(query), (done) => core.get(path, value, done), options.timeoutMs ?? 10_000, true);
  return new DataSnapshot(query.ref, fromJson(payload ?? null, []), value);
}

export type Unsubscribe = () => void;
export type { Kind as EventType } from './mirror';
type Callback = (snapshot: DataSnapshot, previousChildName: string | null) => unknown;
type Cancel = (error: Error) => unknown;
export interface ListenOptions { onlyOnce?: boolean }

function listen(kind: Kind, query: Query, callback: Callback, cancelOrOptions?: Cancel | ListenOptions, more?: ListenOptions): Unsubscribe {
  const cancel = typeof cancelOrOptions === 'function' ? cancelOrOptions : undefined;
  const { onlyOnce = false } = (typeof cancelOrOptions === 'object' ? cancelOrOptions : more) ?? {};
  const { core } = query.database;
  let view: View | undefined, isOver = false;
  const stop = () => {
    isOver = true;
    if (view) {
      core.unlisten(view, listener);
      query.database.connection.flushSoon();
    }
  };
  const told = (event: Event) => {
    if (isOver) return;
    if (onlyOnce) stop();
    const where = event.key === null ? query.ref : child(query.ref, event.key);
    try {
      callback(new DataSnapshot(where, event.node, event.key === null ? query.value : EVERYTHING), event.previous);
    } catch (error) {
      // A user's fault is the user's to see, and no reason for others to hear less.
      setTimeout(() => { throw error; }, 0);
    }
  };
  const ended = (status: string, text: string) => {
    if (status === DISCONNECTED) return;
    const error = new MeadowlarkError(status, `${text} at ${place(query)}`, place(query));
    if (cancel) cancel(error);
    else console.warn(`meadowlark: listening at ${place(query)} ended: ${error.message}`);
  };
  const listener = new Listener(new Set([kind]), told, ended, callback);
  view = core.listen(query.path, query.value, listener);
  if (isOver) stop();
  else query.database.wake();
  return stop;
}

/** Last what may be there instead of `cancel`, too. */
type Hears = (query: Query, callback: Callback, cancel?: Cancel | ListenOptions, options?: ListenOptions) => Unsubscribe;
const hears = (kind: Kind): Hears => (query, callback, cancel, options) => listen(kind, query, callback, cancel, options);

export const onValue: (query: Query, callback: (snapshot: DataSnapshot) => unknown, cancel?: Cancel | ListenOptions, options?: ListenOptions) => Unsubscribe = hears('value');
export const onChildAdded = hears('child_added');
export const onChildChanged = hears('child_changed');
export const onChildMoved = hears('child_moved');
export const onChildRemoved = hears('child_removed');

/** Takes listeners away: those of a kind, of a callback, or all at the query. */
export function off(query: Query, kind?: Kind, callback?: Callback | ((snapshot: DataSnapshot) => unknown)): void {
  const { core } = query.database;
  const view = core.mirror.findView(query.path, query.value);
  for (const listener of view ? [...view.listeners] : []) {
    if ((!kind || listener.kinds.has(kind)) && (!callback || listener.callback === callback)) core.unlisten(view!, listener);
  }
  query.database.connection.flushSoon();
}

// Queries

export interface QueryConstraint { readonly type: string; /** @internal */ apply(spec: Spec): Spec }

export function query(base: Query, ...constraints: QueryConstraint[]): Query {
  // Bounds are read in the light of the order, wherever it stands.
  const ordered = [...constraints].sort((a, b) => Number(b.type === 'order') - Number(a.type === 'order'));
  const spec = ordered.reduce<Spec>((made, constraint) => constraint.apply(made), base.value.spec);
  const made = new QueryValue(spec);
  check(spec);
  return new Query(base.database, base.path, made);
}

function check(spec: Spec): void {
  for (const [name, value] of [['start', spec.sp], ['end', spec.ep]] as const) {
    if (value !== undefined && value !== null && typeof value === 'object') throw new Error(`the ${name} of a query is a string, a number, a boolean or null`);
    if (value !== undefined && spec.i === '.key' && typeof value !== 'string') throw new Error(`the ${name} of a query by key is a key`);
  }
}

function constraint(type: string, member: keyof Spec, make: (spec: Spec) => Spec): QueryConstraint {
  return {
    type,
    apply(spec) {
      if (member in spec) throw new Error(`a query has one ${type}: this one has it already`);
      return { ...spec, ...make(spec) };
    },
  };
}

export const orderByChild = (path: string) => constraint('order', 'i', () => {
  if (!parsePath(path).length || path.startsWith('$')) throw new Error(`${JSON.stringify(path)} is no path below a child: see orderByKey and orderByValue`);
  return { i: parsePath(path).join('/') };
});
export const orderByKey = () => constraint('order', 'i', () => ({ i: '.key' }));
export const orderByValue = () => constraint('order', 'i', () => ({ i: '.value' }));
export const orderByPriority = () => constraint('order', 'i', () => ({}));

const beyond = (spec: Spec, name: string) => (spec.i === '.key' ? undefined : name);
const start = (sp: Json, sn: string | undefined, sin: boolean): Spec => (sn === undefined ? { sp, sin } : { sp, sn, sin });
const end = (ep: Json, en: string | undefined, ein: boolean): Spec => (en === undefined ? { ep, ein } : { ep, en, ein });

export const startAt = (value: Json = null, key?: string) => constraint('start', 'sp', () => start(value, key, true));
export const startAfter = (value: Json, key?: string) => constraint('start', 'sp', (spec) => start(value, key ?? beyond(spec, MAX_NAME), false));
export const endAt = (value: Json, key?: string) => constraint('end', 'ep', () => end(value, key, true));
export const endBefore = (value: Json, key?: string) => constraint('end', 'ep', (spec) => end(value, key ?? beyond(spec, MIN_NAME), false));
export const equalTo = (value: Json, key?: string): QueryConstraint => ({
  type: 'start',
  apply: (spec) => endAt(value, key).apply(startAt(value, key).apply(spec)),
});

function limit(count: number, vf: 'l' | 'r'): QueryConstraint {
  if (!Number.isInteger(count) || count <= 0) throw new Error('a limit is a whole number above 0');
  return constraint('limit', 'l', () => ({ l: count, vf }));
}
export const limitToFirst = (count: number) => limit(count, 'l');
export const limitToLast = (count: number) => limit(count, 'r');

/** Shows each message that is sent or heard: to `logger`, or on the console; false: no more. */
export function enableLogging(logger: boolean | ((message: string) => unknown)): void {
  settings.log = logger === true ? (message) => console.log(message) : logger || undefined;
}

/** For connections from now on. */
export function forceWebSockets(): void {
  settings.transports = ['websocket'];
}

export function forceLongPolling(): never {
  throw new Error('this client has no long polls: it needs a WebSocket or a WebTransport');
}
