// npm @firebase/rules-unit-testing as its readme shows it: upload, contexts, rules switched off, clearing, and its assertions.
import { assertFails, assertSucceeds, initializeTestEnvironment } from '@firebase/rules-unit-testing';
import { say, settings } from './lib.mjs';

const rules = JSON.stringify({ rules: { notes: { $user: { '.read': 'auth.uid === $user', '.write': 'auth.uid === $user && auth.token.level === 3' } } } });
const environment = await initializeTestEnvironment({ projectId: settings.ns, database: { host: settings.host, port: settings.port, rules } });

async function attempt(name, work) {
  await work().then(() => say(name, 'holds'), (error) => say(name, 'does not hold', error.message));
}

const anna = environment.authenticatedContext('anna', { level: 3 }).database();
const low = environment.authenticatedContext('bert', { level: 1 }).database();
const nobody = environment.unauthenticatedContext().database();
await attempt('her own is written', () => assertSucceeds(anna.ref('notes/anna').set('x')));
await attempt('her own is read', () => assertSucceeds(anna.ref('notes/anna').get()));
await attempt('another is not written', () => assertFails(anna.ref('notes/bert').set('x')));
await attempt('a claim is missed', () => assertFails(low.ref('notes/bert').set('x')));
await attempt('nobody reads', () => assertFails(nobody.ref('notes/anna').once('value')));
await attempt('an update is all or none', () => assertFails(anna.ref().update({ 'notes/anna': 1, 'notes/bert': 2 })));
await attempt('without rules all is written', () => environment.withSecurityRulesDisabled((context) => context.database().ref('notes/bert').set('seeded')));
await attempt('bert reads his', async () => say('seeded', (await assertSucceeds(low.ref('notes/bert').get())).val()));
await attempt('cleared', () => environment.clearDatabase());
await attempt('after clearing', async () => say('left', (await assertSucceeds(low.ref('notes/bert').get())).val()));
await environment.cleanup();
process.exit(0);
