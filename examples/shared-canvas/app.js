// A canvas for everyone in one room. What only matters now is volatile: never on disk, gone with the connection that wrote it.
//   rooms/ROOM/people/ID   volatile: name and color, said on every (re)connection; no onDisconnect is needed
//   rooms/ROOM/pointers/ID volatile: where a pointer is, and whether it draws; some times a second
//   rooms/ROOM/strokes/KEY a stroke that was finished, by whom and through which points: stays
// So ink is wet while it is drawn, following a pointer that is told of 20 times a second, and dry when the stroke is written.
import { getDatabase, onChildAdded, onChildChanged, onChildRemoved, onValue, push, ref, remove, setVolatile } from 'meadowlark';
import { Spring } from './spring.js';

const options = new URLSearchParams(location.search);
const server = options.get('server') ?? 'localhost:9000';
const room = `rooms/${options.get('room') ?? 'lobby'}`;
const db = getDatabase(`http://${server}?ns=${options.get('ns') ?? 'shared-canvas'}`);

const UNITS = 10_000; // Of the room's width and height, so that windows may differ and positions are short.
const POINTS_MAX = 400; // Of one stroke; a longer one goes on as the next.
const INK_UNITS = 8; // Between points of wet ink: who holds still adds none.
const TRAIL_POINTS = 14;
const names = ['Finch', 'Wren', 'Robin', 'Swift', 'Heron', 'Martin', 'Siskin', 'Plover', 'Linnet', 'Avocet', 'Dunlin', 'Pipit'];
const colors = ['#ffb454', '#59d4c4', '#7aa2ff', '#ff7ab8', '#b8e068', '#ff7b6b', '#c792ff', '#5ccfff'];
const any = (list) => list[Math.floor(Math.random() * list.length)];
const me = { name: options.get('name') ?? any(names), color: options.get('color') ?? any(colors) };
const id = push(ref(db, `${room}/people`)).key;

const $ = (selector) => document.querySelector(selector);
const [surface, crowd, status, dry, wet] = ['#room', '#people', '#status', '#dry', '#wet'].map($);

// Being here

onValue(ref(db, '.info/connected'), (snapshot) => {
  const connected = snapshot.val() === true;
  status.dataset.connected = connected;
  status.querySelector('span').textContent = connected ? server : 'connecting…';
  if (connected) setVolatile(ref(db, `${room}/people/${id}`), me);
});

const known = new Map();
const colorOf = (who) => known.get(who)?.color ?? '#8b93a7';

onChildAdded(ref(db, `${room}/people`), (snapshot) => {
  const { name, color } = snapshot.val();
  known.set(snapshot.key, { name, color });
  const entry = document.createElement('li');
  entry.id = `person-${snapshot.key}`;
  entry.title = name;
  entry.textContent = name;
  entry.style.setProperty('--color', color);
  entry.classList.toggle('me', snapshot.key === id);
  crowd.append(entry);
  const label = document.querySelector(`#pointer-${CSS.escape(snapshot.key)} span`);
  if (label) label.textContent = name;
});
onChildRemoved(ref(db, `${room}/people`), ({ key }) => {
  known.delete(key);
  document.getElementById(`person-${key}`)?.remove();
});

// Saying where I point: at once if it is time, else when it is; only the last position counts

const mine = { x: 0, y: 0, draws: false, points: [] };
let saidAt = 0, due;

function say() {
  clearTimeout(due);
  const wait = saidAt + Number($('#every').value) - performance.now();
  if (wait > 0) return void (due = setTimeout(say, wait));
  saidAt = performance.now();
  setVolatile(ref(db, `${room}/pointers/${id}`), { x: mine.x, y: mine.y, draws: mine.draws });
}

function follow(event) {
  const { left, top, width, height } = surface.getBoundingClientRect();
  const units = (at, size) => Math.round(Math.min(1, Math.max(0, at / size)) * UNITS);
  [mine.x, mine.y] = [units(event.clientX - left, width), units(event.clientY - top, height)];
  if (mine.draws) mine.points.push(mine.x, mine.y);
  if (mine.points.length >= 2 * POINTS_MAX) finish();
  say();
}

surface.addEventListener('pointerdown', (event) => {
  surface.setPointerCapture(event.pointerId);
  mine.draws = true;
  follow(event);
});
surface.addEventListener('pointermove', follow);
for (const end of ['pointerup', 'pointercancel']) surface.addEventListener(end, () => {
  finish();
  mine.draws = false;
  say();
});

function finish() {
  const points = mine.points;
  mine.points = points.slice(-2);
  if (!mine.draws || points.length < 2) return;
  // Dry here at once; a denial would take it away again.
  push(ref(db, `${room}/strokes`), { by: id, color: me.color, points: points.join(' ') }).catch((error) => console.warn(error.message));
}

// Where others point: each position is the new goal of a spring

const pointers = new Map();
let told = 0;

function heard(snapshot) {
  if (snapshot.key === id) return;
  told += 1;
  const { x, y, draws } = snapshot.val();
  let pointer = pointers.get(snapshot.key);
  if (!pointer) {
    const shown = document.createElement('div');
    shown.id = `pointer-${snapshot.key}`;
    shown.className = 'pointer';
    shown.innerHTML = '<svg viewBox="0 0 20 20"><path d="M2 1l6 17 2.6-7.2L18 8z"/></svg><span></span>';
    shown.querySelector('span').textContent = known.get(snapshot.key)?.name ?? 'Someone';
    surface.append(shown);
    pointer = { shown, x: new Spring(x), y: new Spring(y), draws, ink: [], trail: [] };
    pointers.set(snapshot.key, pointer);
  }
  const now = performance.now();
  pointer.x.aim(x, now);
  pointer.y.aim(y, now);
  if (draws && !pointer.draws) {
    // Ink begins where the pointer is, not on its way there.
    pointer.x.jump();
    pointer.y.jump();
    pointer.ink = [];
  }
  pointer.draws = draws;
}

onChildAdded(ref(db, `${room}/pointers`), heard);
onChildChanged(ref(db, `${room}/pointers`), heard);
onChildRemoved(ref(db, `${room}/pointers`), ({ key }) => {
  pointers.get(key)?.shown.remove();
  pointers.delete(key);
});

// What was drawn stays

const strokes = new Map();

onChildAdded(ref(db, `${room}/strokes`), (snapshot) => {
  const { by, color, points } = snapshot.val();
  const stroke = { color, points: points.split(' ').map(Number) };
  strokes.set(snapshot.key, stroke);
  draw(dry, stroke.points, color, 5);
  const pointer = pointers.get(by);
  if (pointer) Object.assign(pointer, { ink: [], draws: false }); // What is wet has dried; who goes on drawing says so.
  tally();
});
onChildRemoved(ref(db, `${room}/strokes`), ({ key }) => {
  strokes.delete(key);
  redraw();
  tally();
});

$('#clear').addEventListener('click', () => remove(ref(db, `${room}/strokes`)));

function tally() {
  surface.dataset.strokes = strokes.size;
}

// Drawing

function draw(canvas, points, color, width, alpha = 1) {
  const pen = canvas.getContext('2d');
  const at = (index) => [points[index] / UNITS * surface.clientWidth, points[index + 1] / UNITS * surface.clientHeight];
  pen.beginPath();
  pen.moveTo(...at(0));
  // Through the middles of the pieces, so that corners are round.
  for (let index = 2; index < points.length - 2; index += 2) {
    const [x, y] = at(index), [nextX, nextY] = at(index + 2);
    pen.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
  }
  pen.lineTo(...at(points.length - 2));
  Object.assign(pen, { strokeStyle: color, shadowColor: color, shadowBlur: 14, lineWidth: width, lineCap: 'round', lineJoin: 'round', globalAlpha: alpha });
  pen.stroke();
}

function fit(canvas) {
  const scale = devicePixelRatio || 1;
  canvas.width = surface.clientWidth * scale;
  canvas.height = surface.clientHeight * scale;
  canvas.getContext('2d').scale(scale, scale);
}

function redraw() {
  fit(dry);
  for (const { points, color } of strokes.values()) draw(dry, points, color, 5);
}

new ResizeObserver(() => { fit(wet); redraw(); }).observe(surface);

function frame(now) {
  wet.getContext('2d').clearRect(0, 0, surface.clientWidth, surface.clientHeight);
  if (mine.draws && mine.points.length >= 2) draw(wet, mine.points, me.color, 5);
  const isSmooth = $('#smooth').checked;
  for (const [who, pointer] of pointers) {
    const x = isSmooth ? pointer.x.at(now) : pointer.x.goal;
    const y = isSmooth ? pointer.y.at(now) : pointer.y.goal;
    const color = colorOf(who);
    const [lastX, lastY] = pointer.ink.slice(-2);
    if (pointer.draws && !(Math.hypot(x - lastX, y - lastY) < INK_UNITS)) pointer.ink.push(x, y);
    if (pointer.ink.length >= 2) draw(wet, pointer.ink, color, 5, 0.85);
    pointer.trail.push(x, y);
    pointer.trail.splice(0, pointer.trail.length - 2 * TRAIL_POINTS);
    if (!pointer.draws) draw(wet, pointer.trail, color, 3, 0.25);
    pointer.shown.style.setProperty('--color', color);
    pointer.shown.style.transform = `translate(${x / UNITS * surface.clientWidth}px, ${y / UNITS * surface.clientHeight}px)`;
  }
  requestAnimationFrame(frame);
}
requestAnimationFrame(frame);

setInterval(() => {
  $('#told').textContent = `${told} a second heard`;
  told = 0;
}, 1000);
tally();
