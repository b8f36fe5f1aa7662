/**
 * What this client knows of the tree: what the server said for each listened view, with our unanswered writes laid over it.
 * Listeners hear of our writes at once, and hear them undone when the server refuses one.
 */

import { Json, Node, NodeMap, Path, childOf, find, formatPath, isLocal, isMap, isSame, parsePath, priorityOf, put, received, resolve } from './node';
import { Query } from './query';
import { Window } from './window';

export type Kind = 'value' | 'child_added' | 'child_removed' | 'child_moved' | 'child_changed';

/** key null: the view itself. previous: the sibling before it in the view's order. */
export interface Event { kind: Kind; key: string | null; node: Node | null; previous: string | null }

export class Listener {
  hasHeardAll = false;
  constructor(
    readonly kinds: ReadonlySet<Kind>,
    readonly told: (event: Event) => void,
    readonly ended: (status: string, text: string) => void,
    /** What the user gave, so that it can be taken back. */
    readonly callback: unknown = null,
  ) {}
}

interface Base { isKnown: boolean; readonly server: Node | null; readonly isWhole: boolean }

/** One path with one query. */
export class View {
  listeners: Listener[] = [];
  server: Node | null = null;
  /** Whether the server has said what is there. */
  isKnown = false;
  /** Whether a listen is under way or answered on the present link. */
  isAsked = false;
  /** Whether that is under way. */
  isAwaited = false;
  /** Whether it was known, and what, when it was asked. */
  before: [boolean, Node | null] = [false, null];
  isVisible = false;
  /** The server's side with our writes on top. */
  overlay: Node | null = null;
  /** What the query shows of that. */
  visible: Node | null = null;
  readonly window: Window;

  /** tag: by which the server names a filtered view. */
  constructor(readonly path: Path, readonly query: Query, readonly tag: number | null) {
    this.window = new Window(query);
  }
}

/** Places and what is written there. */
export type Parts = readonly (readonly [Path, Node | null])[];

/** One write that the server has not answered. Places are absolute; server values wait in the nodes until it is begun. */
export interface Write { readonly path: Path; parts: Parts; readonly isHidden: boolean }

export class Mirror {
  readonly views = new Map<string, View>();
  readonly writes = new Set<Write>();
  private readonly tagged = new Map<number, View>();
  private lastTag = 0;

  constructor(private readonly nowMs: () => number) {}

  // Views

  open(path: Path, query: Query): View {
    const name = nameOf(path, query);
    let view = this.views.get(name);
    if (!view) {
      const tag = query.filters ? ++this.lastTag : null;
      view = new View(path, query, tag);
      if (tag !== null) this.tagged.set(tag, view);
      else this.inherit(view);
      this.views.set(name, view);
      this.refresh(view, null);
    }
    return view;
  }

  close(view: View): void {
    this.views.delete(nameOf(view.path, view.query));
    if (view.tag !== null) this.tagged.delete(view.tag);
    // Windows that were made of it are made of what the server said of them, again.
    else for (const other of this.concerned(view.path, null)) if (other.tag !== null) this.refresh(other, null);
  }

  add(view: View, listener: Listener): void {
    view.listeners.push(listener);
    if (view.isVisible) this.greet(view, listener);
  }

  findView(path: Path, query: Query): View | undefined {
    return this.views.get(nameOf(path, query));
  }

  /** The views of everything at just `path`, which share one listen however they are ordered. */
  wholeViews(path: Path): View[] {
    const name = formatPath(path);
    return [...this.views.values()].filter((view) => view.tag === null && formatPath(view.path) === name);
  }

  /** What stands at `path` with our writes, if a whole view at it or above it knows. */
  findVisible(path: Path): { node: Node | null } | null {
    const view = this.covering(path);
    return view?.isVisible ? { node: find(view.visible, path.slice(view.path.length)) } : null;
  }

  private covering(path: Path): View | undefined {
    return [...this.views.values()].find((view) => view.tag === null && view.isKnown && isLocal(view.path) === isLocal(path) && startsWith(path, view.path));
  }

  /** A new whole view begins with what is known of it; whether a listen at just its place is asked is known too. */
  private inherit(view: View): void {
    const above = this.covering(view.path);
    if (above) {
      view.server = find(above.server, view.path.slice(above.path.length));
      view.isKnown = true;
    }
    view.isAsked = this.wholeViews(view.path).some((other) => other.isAsked);
  }

  // What the server says

  told(path: Path, value: Json, tag: number | null, isMerge: boolean): void {
    this.stands(path, isMerge
      ? Object.keys(value ?? {}).map((key) => [[...path, ...parsePath(key)], received(value[key])])
      : [[path, received(value)]], tag);
  }

  /** path: at or above all of `parts`. */
  stands(path: Path, parts: Parts, tag: number | null): void {
    const concerned = this.concerned(path, tag);
    for (const view of concerned) {
      if (view.tag === tag) for (const [place, node] of parts) {
        if (place.length <= view.path.length) {
          if (!startsWith(view.path, place)) continue;
          view.server = find(node, view.path.slice(place.length));
          view.isKnown = true;
        } else if (view.isKnown && startsWith(place, view.path)) {
          // What another view was told of a part does not make the whole known.
          view.server = put(view.server, place.slice(view.path.length), node);
        }
      }
    }
    for (const view of concerned) this.refresh(view, touchedBy(view.path, parts));
  }

  /** The listen was answered without data: what we have is right. */
  confirmed(view: View): void {
    if (view.isKnown) return;
    view.isKnown = true;
    for (const other of view.tag === null ? this.concerned(view.path, null) : [view]) this.refresh(other, null);
  }

  /**
   * A whole listen at `path` is over. Such listens have no tags: what the server said until now it said to that one, and not to those
   * that were begun at its place or below it meanwhile.
   */
  restore(path: Path): void {
    for (const view of this.views.values()) {
      if (view.tag !== null || !view.isAwaited || !startsWith(view.path, path)) continue;
      [view.isKnown, view.server] = view.before;
      this.refresh(view, null);
    }
  }

  ended(view: View, status: string, text: string): void {
    this.close(view);
    for (const listener of [...view.listeners]) listener.ended(status, text);
  }

  private concerned(path: Path, tag: number | null): View[] {
    if (tag !== null) {
      const view = this.tagged.get(tag);
      return view ? [view] : [];
    }
    return this.deepestFirst().filter((view) => isLocal(view.path) === isLocal(path) && overlap(path, view.path));
  }

  /** The order in which views hear of a change, as with Firebase: what is below before what is above it. */
  private deepestFirst(): View[] {
    return [...this.views.values()].sort((a, b) => b.path.length - a.path.length);
  }

  // What we write

  /** Server values are guessed once, from what stands there now: the server's word for ours is not added to. */
  write(write: Write): void {
    write.parts = this.guessed(write.parts);
    this.writes.add(write);
    if (!write.isHidden) this.refreshFor(write);
  }

  /** The server has answered: what it says now counts. */
  settle(write: Write): void {
    if (this.writes.delete(write)) this.refreshFor(write);
  }

  guessed(parts: Parts): Parts {
    return parts.map(([path, node]) => [path, resolve(node, this.standing(path), this.nowMs())]);
  }

  private standing(path: Path): Node | null {
    const above = this.covering(path);
    const server = above ? find(above.server, path.slice(above.path.length)) : null;
    return this.overlay({ isKnown: true, server, isWhole: true }, path, false);
  }

  private refreshFor(write: Write): void {
    for (const view of this.deepestFirst()) {
      const touched = touchedBy(view.path, write.parts);
      if (touched === null || touched.size) this.refresh(view, touched);
    }
  }

  /** The view with our writes on top, and whether all of it is known. */
  overlaid(view: View, withHidden = false): { isKnown: boolean; node: Node | null } {
    const base = this.base(view);
    const node = this.overlay(base, view.path, withHidden);
    return { isKnown: base.isKnown, node };
  }

  /** What a view is made of. A window on something that is known whole is made of that, and needs not to wait for the server. */
  private base(view: View): Base {
    const above = view.tag === null ? undefined : this.covering(view.path);
    if (above) return { isKnown: true, server: find(above.server, view.path.slice(above.path.length)), isWhole: true };
    return { isKnown: view.isKnown, server: view.server, isWhole: view.tag === null };
  }

  private overlay(base: Base, place: Path, withHidden: boolean): Node | null {
    let node = base.server;
    for (const write of this.writes) {
      if (write.isHidden && !withHidden) continue;
      for (const [path, value] of write.parts) {
        if (startsWith(place, path)) {
          base.isKnown = true;
          node = find(value, place.slice(path.length));
        } else if (startsWith(path, place)) {
          const relative = path.slice(place.length);
          // Part of a child that is not in the window: the server says when it comes whole.
          if (relative.length > 1 && !base.isWhole && find(node, relative.slice(0, 1)) === null) continue;
          node = put(node, relative, value);
        }
      }
    }
    return node;
  }

  /** The view with our writes on top where only the `touched` children may differ from before; undefined where that does not tell. */
  private patched(view: View, touched: Set<string>): NodeMap | undefined {
    const base = this.base(view);
    let node = view.overlay;
    for (const key of touched) {
      if (!isMap(node)) return undefined;
      node = put(node, [key], this.overlaidChild(base, [...view.path, key]));
    }
    return isMap(node) ? node : undefined;
  }

  private overlaidChild(base: Base, place: Path): Node | null {
    let child = childOf(base.server, place.at(-1)!);
    for (const write of this.writes) {
      if (write.isHidden) continue;
      for (const [path, value] of write.parts) {
        if (path.length <= place.length) {
          if (startsWith(place, path)) child = find(value, place.slice(path.length));
        } else if (startsWith(path, place) && (base.isWhole || child !== null)) {
          child = put(child, path.slice(place.length), value);
        }
      }
    }
    return child;
  }

  // Telling

  private refresh(view: View, touched: Set<string> | null): void {
    let node: Node | null | undefined = view.isVisible && touched ? this.patched(view, touched) : undefined;
    if (node === undefined) {
      const whole = this.overlaid(view);
      if (!whole.isKnown) return;
      node = whole.node;
    }
    const wasVisible = view.isVisible, before = view.visible;
    view.isVisible = true;
    view.overlay = node;
    const { removed, added, moved, changed } = view.window.update(node, wasVisible ? touched : null);
    view.visible = view.window.visible(node);
    if (!wasVisible) {
      for (const listener of [...view.listeners]) if (!listener.hasHeardAll) this.greet(view, listener);
      return;
    }
    if (!removed.length && !added.length && !moved.length && !changed.length && isSameBeside(before, view.visible)) return;
    const events: Event[] = removed.map((row) => ({ kind: 'child_removed', key: row.key, node: row.node, previous: null }));
    for (const [kind, rows] of [['child_added', added], ['child_moved', moved], ['child_changed', changed]] as const) {
      for (const row of rows) events.push({ kind, key: row.key, node: row.node, previous: view.window.previous(row) });
    }
    events.push({ kind: 'value', key: null, node: view.visible, previous: null });
    const listeners = [...view.listeners];
    for (const event of events) {
      for (const listener of listeners) if (listener.kinds.has(event.kind) && view.listeners.includes(listener)) listener.told(event);
    }
  }

  private greet(view: View, listener: Listener): void {
    listener.hasHeardAll = true;
    const value = view.visible;
    if (listener.kinds.has('child_added')) {
      let previous: string | null = null;
      for (const { key, node } of [...view.window.rows()]) {
        if (!view.listeners.includes(listener)) return;
        listener.told({ kind: 'child_added', key, node, previous });
        previous = key;
      }
    }
    if (listener.kinds.has('value') && view.listeners.includes(listener)) listener.told({ kind: 'value', key: null, node: value, previous: null });
  }
}

function nameOf(path: Path, query: Query): string {
  return `${formatPath(path)} ${query.id}`;
}

export function startsWith(path: Path, start: Path): boolean {
  return start.length <= path.length && start.every((key, depth) => path[depth] === key);
}

export function overlap(one: Path, other: Path): boolean {
  return startsWith(one, other) || startsWith(other, one);
}

/** The children of a view that writes at these places may have changed; null: any. */
function touchedBy(view: Path, parts: readonly (readonly [Path, unknown])[]): Set<string> | null {
  const touched = new Set<string>();
  for (const [path] of parts) {
    if (startsWith(view, path)) return null;
    if (!startsWith(path, view)) continue;
    if (path[view.length] === '.priority') return null;
    touched.add(path[view.length]!);
  }
  return touched;
}

/** Whether two nodes with the same children are the same. */
function isSameBeside(one: Node | null, other: Node | null): boolean {
  return isMap(one) && isMap(other) ? priorityOf(one) === priorityOf(other) : isSame(one, other);
}
