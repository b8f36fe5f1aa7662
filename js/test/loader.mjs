// Makes code written for Firebase import this client instead: the one change that migrating asks for.
const ours = new URL('../dist/index.js', import.meta.url).href;

export async function resolve(specifier, context, next) {
  return specifier === 'firebase/app' || specifier === 'firebase/database' ? { url: ours, shortCircuit: true } : next(specifier, context);
}
