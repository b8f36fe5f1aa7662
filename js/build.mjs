// Makes dist/: one module, minified, with types beside it. Fails when it is larger than it may be.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const GZIPPED_BYTES_MAX = 15 * 1024;

for (const name of ['index', 'internals']) await build({ entryPoints: [`src/${name}.ts`], outfile: `dist/${name}.js`, bundle: true, minify: true, format: 'esm', target: 'es2022', sourcemap: true });
execFileSync('npx', ['tsc', '-p', '.', '--stripInternal'], { stdio: 'inherit' });
const size = gzipSync(readFileSync('dist/index.js'), { level: 9 }).length;
console.log(`dist/index.js: ${size} bytes gzipped, limit is ${GZIPPED_BYTES_MAX}`);
if (size > GZIPPED_BYTES_MAX) process.exit(1);
