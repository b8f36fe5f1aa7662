// Everyone's cursor in one room. Three things of the database carry it:
//   rooms/ROOM/people/ID  who is here: written on every (re)connection, removed by onDisconnect when the connection ends
//   rooms/ROOM/cursors/ID where each pointer is: written at most once a frame, removed the same way
//   rooms/ROOM/stars/ID   what people left by clicking: stays
import { initializeApp } from 'firebase/app';
import {
  connectDatabaseEmulator, getDatabase, onChildAdded, onChildChanged, onChildRemoved, onDisconnect, onValue, push, ref, set,
} from 'firebase/database';

const options = new URLSearchParams(location.search);
const [host, port] = (options.get('server') ?? 'localhost:9000').split(':');
const room = `rooms/${options.get('room') ?? 'lobby'}`;

const app = initializeApp({ projectId: 'demo-live-cursors', databaseURL: `https://${options.get('ns') ?? 'live-cursors'}.firebaseio.com` });
const db = getDatabase(app);
connectDatabaseEmulator(db, host, Number(port));

const names = ['Finch', 'Wren', 'Robin', 'Swift', 'Heron', 'Martin', 'Siskin', 'Plover', 'Linnet', 'Avocet', 'Dunlin', 'Pipit'];
const colors = ['#c2410c', '#0f766e', '#1d4ed8', '#a21caf', '#4d7c0f', '#b91c1c', '#6d28d9', '#0e7490'];
const any = (list) => list[Math.floor(Math.random() * list.length)];
const me = { name: options.get('name') ?? any(names), color: any(colors) };
const people = ref(db, `${room}/people`);
const id = push(people).key;
const myself = ref(db, `${room}/people/${id}`);
const myCursor = ref(db, `${room}/cursors/${id}`);

const surface = document.querySelector('#room');
const crowd = document.querySelector('#people');
const status = document.querySelector('#status');

// Being here

onValue(ref(db, '.info/connected'), async (snapshot) => {
  const connected = snapshot.val() === true;
  status.dataset.connected = connected;
  status.querySelector('span').textContent = connected ? `connected to ${host}:${port}` : 'connecting…';
  if (!connected) return;
  // Told to the server before we appear, so that however we leave, we do not stay behind.
  onDisconnect(myself).remove();
  onDisconnect(myCursor).remove();
  await set(myself, me);
});

const known = new Map();

onChildAdded(people, (snapshot) => {
  const person = snapshot.val();
  known.set(snapshot.key, person);
  const entry = document.createElement('li');
  entry.id = `person-${snapshot.key}`;
  entry.textContent = person.name;
  entry.style.setProperty('--color', person.color);
  entry.classList.toggle('me', snapshot.key === id);
  crowd.append(entry);
});
onChildRemoved(people, (snapshot) => {
  known.delete(snapshot.key);
  document.getElementById(`person-${snapshot.key}`)?.remove();
});

// Pointing: at most one write a frame, as parts of the room's size so that windows may differ

let wanted = null;

surface.addEventListener('pointermove', (event) => {
  if (!wanted) requestAnimationFrame(() => { set(myCursor, wanted); wanted = null; });
  wanted = place(event);
});

function place(event) {
  const { left, top, width, height } = surface.getBoundingClientRect();
  const part = (at, size) => Math.round(Math.min(1, Math.max(0, at / size)) * 10000) / 10000;
  return { x: part(event.clientX - left, width), y: part(event.clientY - top, height) };
}

function draw(snapshot) {
  if (snapshot.key === id) return;
  let cursor = document.getElementById(`cursor-${snapshot.key}`);
  if (!cursor) {
    cursor = document.createElement('div');
    cursor.id = `cursor-${snapshot.key}`;
    cursor.className = 'cursor';
    cursor.innerHTML = '<svg viewBox="0 0 20 20"><path d="M2 1l6 17 2.6-7.2L18 8z"/></svg><span></span>';
    surface.append(cursor);
  }
  const { x, y } = snapshot.val();
  const person = known.get(snapshot.key) ?? { name: 'Someone', color: '#666' };
  cursor.querySelector('span').textContent = person.name;
  cursor.style.setProperty('--color', person.color);
  cursor.style.transform = `translate(${x * surface.clientWidth}px, ${y * surface.clientHeight}px)`;
}

const cursors = ref(db, `${room}/cursors`);
onChildAdded(cursors, draw);
onChildChanged(cursors, draw);
onChildRemoved(cursors, (snapshot) => document.getElementById(`cursor-${snapshot.key}`)?.remove());

// Leaving something behind

surface.addEventListener('click', (event) => push(ref(db, `${room}/stars`), { ...place(event), color: me.color }));

onChildAdded(ref(db, `${room}/stars`), (snapshot) => {
  const { x, y, color } = snapshot.val();
  const star = document.createElement('div');
  star.className = 'star';
  star.textContent = '✦';
  star.style.setProperty('--color', color);
  star.style.left = `${x * 100}%`;
  star.style.top = `${y * 100}%`;
  surface.append(star);
});
