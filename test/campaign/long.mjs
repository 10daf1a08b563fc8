/** `npm run campaign`: the long form, with vitest's own arguments behind it. */
import { spawnSync } from 'node:child_process';

const { status } = spawnSync(
  process.execPath,
  ['node_modules/vitest/vitest.mjs', 'run', '--project', 'campaign', ...process.argv.slice(2)],
  { stdio: 'inherit', env: { ...process.env, CONVLAB_CAMPAIGN: 'long' } },
);
process.exit(status ?? 1);
