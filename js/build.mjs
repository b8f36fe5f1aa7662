// Makes dist/: one module, minified, with types beside it. Fails when it is larger than it may be.
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const GZIPPED_BYTES_MAX = 15 * 1024;

/** Private members whose names have two words, so that nothing outside is called so, get short names. A test looks at one of them. */
function privateNames() {
  const sources = readdirSync('src').map((name) => readFileSync(`src/${name}`, 'utf8')).join('\n');
  const names = [...sources.matchAll(/private (?:readonly |async |get )*([a-z]+[A-Z]\w*)/g)].map(([, name]) => name);
  return new RegExp(`^(${names.filter((name) => name !== 'withoutTransportUntil').join('|')})$`);
}

const options = { bundle: true, minify: true, format: 'esm', target: 'es2022', sourcemap: true };
await build({ ...options, entryPoints: ['src/index.ts'], outfile: 'dist/index.js', mangleProps: privateNames() });
await build({ ...options, entryPoints: ['src/internals.ts'], outfile: 'dist/internals.js' });
execFileSync('npx', ['tsc', '-p', '.', '--stripInternal'], { stdio: 'inherit' });
const size = gzipSync(readFileSync('dist/index.js'), { level: 9 }).length;
console.log(`dist/index.js: ${size} bytes gzipped, limit is ${GZIPPED_BYTES_MAX}`);
if (size > GZIPPED_BYTES_MAX) process.exit(1);
