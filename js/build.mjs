// Makes dist/: one module, minified, with types beside it. Fails when it is larger than it may be.
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const GZIPPED_BYTES_MAX = 15 * 1024;

/** Modules that no program sees: all members of their classes are private to us. */
const INNER = ['core', 'mirror', 'window'];

/** Private members whose names have two words, so that nothing outside is called so, get short names. A test looks at one of them. */
function privateNames() {
  const names = [];
  for (const name of readdirSync('src')) {
    const isInner = INNER.includes(name.replace('.ts', ''));
    const member = new RegExp(`^  ${isInner ? '(?:private )?' : 'private '}(?:readonly |async |get )*([a-z]+[A-Z]\\w*)[:(; =]`, 'gm');
    for (const [, found] of readFileSync(`src/${name}`, 'utf8').matchAll(member)) names.push(found);
  }
  return new RegExp(`^(${names.filter((name) => name !== 'withoutTransportUntil').join('|')})$`);
}

const options = { bundle: true, minify: true, format: 'esm', target: 'es2022', sourcemap: true };
await build({ ...options, entryPoints: ['src/index.ts'], outfile: 'dist/index.js', mangleProps: privateNames() });
await build({ ...options, entryPoints: ['src/internals.ts'], outfile: 'dist/internals.js' });
execFileSync('npx', ['tsc', '-p', '.', '--stripInternal'], { stdio: 'inherit' });
const size = gzipSync(readFileSync('dist/index.js'), { level: 9 }).length;
console.log(`dist/index.js: ${size} bytes gzipped, limit is ${GZIPPED_BYTES_MAX}`);
if (size > GZIPPED_BYTES_MAX) process.exit(1);
