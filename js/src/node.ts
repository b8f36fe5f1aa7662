/**
 * Values of the tree, as the realtime protocol writes them.
 *
 * A node is a leaf (string, number, boolean) or a map of nodes by key. A priority stands in it as `.priority`; a leaf that has one
 * is `{".value": leaf, ".priority": p}`. Nothing is `null`, never a map without children. Maps have no prototype, so that no key
 * means anything but itself. A node is never changed: a write copies the maps on its way.
 */

import { inOrder } from './order';

export type Leaf = string | number | boolean;
export type Priority = string | number | null;
export interface NodeMap { [key: string]: Node }
export type Node = Leaf | NodeMap;
export type Path = readonly string[];
export type Json = any; // What users give and get: JSON, which TypeScript cannot say without getting in their way.

/** A value that the server makes; it waits in what we write until we guess it. */
export class ServerValue {
  constructor(readonly delta: number | null) {}
}

const FORBIDDEN = /[.#$/[\]\x00-\x1f\x7f\ud800-\udfff]/u;
const KEY_BYTES_MAX = 768;
export const DEPTH_MAX = 32;

export function isMap(node: Node | null | undefined): node is NodeMap {
  return typeof node === 'object' && node !== null && !('.value' in node);
}

export function newMap(): NodeMap {
  return Object.create(null) as NodeMap;
}

export function parsePath(text: string): string[] {
  return text.split('/').filter((key) => key !== '');
}

export function formatPath(path: Path): string {
  return `/${path.join('/')}`;
}

/** `.info` is about the client itself: no server is asked for it. */
export function isLocal(path: Path): boolean {
  return path[0] === '.info';
}

/** The keys of the children, in no particular order. */
export function keysOf(node: Node | null): string[] {
  return isMap(node) ? Object.keys(node).filter((key) => key !== '.priority') : [];
}

export function childOf(node: Node | null | undefined, key: string): Node | null {
  return isMap(node) ? node[key] ?? null : null;
}

export function find(node: Node | null, path: Path): Node | null {
  let found: Node | null = node;
  for (const key of path) {
    if (key === '.priority') return priorityOf(found);
    found = childOf(found, key);
  }
  return found;
}

export function priorityOf(node: Node | null): Priority {
  return typeof node === 'object' && node !== null ? (node['.priority'] as Priority | undefined) ?? null : null;
}

/** The value of a leaf without its priority; null for a map or nothing. */
export function leafOf(node: Node | null): Leaf | null {
  if (typeof node !== 'object' || node === null) return node;
  return (node['.value'] as Leaf | undefined) ?? null;
}

/** `node` with `value` (null: nothing) at `path`: a copy as far as the path goes. Maps left empty vanish. */
export function put(node: Node | null, path: Path, value: Node | null): Node | null {
  const key = path[0];
  if (key === undefined) return value;
  if (key === '.priority') return withPriority(node, value as Priority);
  if (value === null && childOf(node, key) === null) return node;
  const made = newMap();
  if (isMap(node)) Object.assign(made, node);
  else if (priorityOf(node) !== null) made['.priority'] = priorityOf(node)!;
  const child = put(made[key] ?? null, path.slice(1), value);
  if (child === null) delete made[key];
  else made[key] = child;
  return keysOf(made).length ? made : null;
}

function withPriority(node: Node | null, priority: Priority): Node | null {
  if (node === null) return null;
  const made = newMap();
  if (isMap(node)) Object.assign(made, node);
  else made['.value'] = leafOf(node)!;
  delete made['.priority'];
  if (priority !== null) made['.priority'] = priority;
  else if ('.value' in made) return made['.value']!;
  return made;
}

/** Whether two nodes are the same JSON. */
export function isSame(one: Node | null, other: Node | null): boolean {
  if (one === other) return true;
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false;
  const keys = Object.keys(one);
  return keys.length === Object.keys(other).length && keys.every((key) => key in other && isSame(one[key]!, other[key]!));
}

// In

/** The node that `value` describes, server values waiting in it. Throws where it can never be written. */
export function fromJson(value: Json, path: Path): Node | null {
  if (path[path.length - 1] === '.priority') return parsePriority(value) as Node | null;
  return parse(value, path.length, []);
}

function parse(value: Json, depth: number, where: string[]): Node | null {
  if (value === null) return null;
  switch (typeof value) {
    case 'string': case 'boolean': return value;
    case 'number':
      if (!Number.isFinite(value)) fault('numbers must be finite', where);
      return value === 0 ? 0 : value;
    case 'object': return parseMap(value, depth, where);
    default: return fault(`expected JSON, got ${typeof value}`, where);
  }
}

function parseMap(value: Json, depth: number, where: string[]): Node | null {
  if ('.sv' in value) return parseServerValue(value['.sv'], where) as unknown as Node;
  const priority = parsePriority(value['.priority'] ?? null);
  if (value['.value'] !== undefined && value['.value'] !== null) {
    const leaf = '.sv' in Object(value['.value']) ? parseServerValue(value['.value']['.sv'], where) : parse(value['.value'], depth, where);
    if (typeof leaf === 'object' && !(leaf instanceof ServerValue)) fault("'.value' must be a string, a number or a boolean", where);
    return withPriority(leaf as Node, priority);
  }
  const made = newMap();
  for (const key of Object.keys(value)) {
    if (key === '.priority' || key === '.value') continue;
    if (value[key] === undefined) fault('undefined cannot be written', [...where, key]);
    checkKey(key, where);
    if (depth >= DEPTH_MAX) fault(`data is deeper than ${DEPTH_MAX} levels`, where);
    const child = parse(value[key], depth + 1, [...where, key]);
    if (child !== null) made[key] = child;
  }
  if (!keysOf(made).length) return null;
  if (priority !== null) made['.priority'] = priority;
  return made;
}

function parsePriority(value: Json): Priority {
  if (value === null || typeof value === 'string' || (typeof value === 'number' && Number.isFinite(value))) return value;
  if (typeof value === 'object' && '.sv' in value) return parseServerValue(value['.sv'], []) as unknown as Priority;
  return fault('a priority must be a number, a string or null', []);
}

function parseServerValue(value: Json, where: string[]): ServerValue {
  if (value === 'timestamp') return new ServerValue(null);
  if (typeof value?.increment === 'number') return new ServerValue(value.increment);
  return fault('unknown server value', where);
}

export function checkKey(key: string, where: Path = []): void {
  if (!key || FORBIDDEN.test(key)) fault(`key ${JSON.stringify(key)} is empty or has one of . # $ / [ ], a control character or half a character`, where);
  if (key.length * 3 > KEY_BYTES_MAX && new TextEncoder().encode(key).length > KEY_BYTES_MAX) fault(`a key has more than ${KEY_BYTES_MAX} bytes`, where);
}

function fault(text: string, where: Path): never {
  throw new Error(where.length ? `${text} at ${JSON.stringify(where.join('/'))}` : text);
}

/** `node` with server values guessed: `existing` is what stands there now. */
export function resolve(node: Node | null, existing: Node | null, nowMs: number): Node | null {
  if (node instanceof ServerValue) {
    const base = leafOf(existing);
    return node.delta === null ? nowMs : typeof base === 'number' ? base + node.delta : node.delta;
  }
  if (typeof node !== 'object' || node === null) return node;
  const made = newMap();
  for (const key of Object.keys(node)) {
    const at = key === '.priority' ? priorityOf(existing) : key === '.value' ? existing : childOf(existing, key);
    made[key] = resolve(node[key]!, at as Node | null, nowMs)!;
  }
  return made;
}

// Out

/** JSON without priorities, children in their order, arrays where the keys say so. */
export function toJson(node: Node | null): Json {
  if (!isMap(node)) return leafOf(node);
  const keys = inOrder(node);
  const last = keys.reduce((most, key) => (/^(0|[1-9]\d*)$/.test(key) ? Math.max(most, Number(key)) : Infinity), -1);
  if (last < 2 * keys.length) {
    const array: Json[] = [];
    for (const key of keys) array[Number(key)] = toJson(node[key]!);
    return array;
  }
  return toObject(node, keys, toJson);
}

/** JSON with priorities. */
export function toExport(node: Node | null): Json {
  if (typeof node !== 'object' || node === null) return node;
  return toObject(node, [...('.value' in node ? ['.value'] : inOrder(node)), ...('.priority' in node ? ['.priority'] : [])], toExport);
}

function toObject(node: NodeMap, keys: string[], form: (node: Node) => Json): Json {
  const made: Json = {};
  for (const key of keys) {
    const value = form(node[key]!);
    if (key === '__proto__') Object.defineProperty(made, key, { value, enumerable: true, writable: true, configurable: true });
    else made[key] = value;
  }
  return made;
}

/** A node as the server sent it: the same, on maps without prototypes. */
export function received(value: Json): Node | null {
  if (typeof value !== 'object' || value === null) return value;
  const made = newMap();
  for (const key of Object.keys(value)) made[key] = received(value[key])!;
  return made;
}
