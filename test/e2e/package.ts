/** The .vsix that the end-to-end tests install: the one that CONVLAB_VSIX names, or else one made now. */
import { execFileSync } from 'node:child_process';
import * as path from 'node:path';
import type { TestProject } from 'vitest/node';
import { repository } from './server';

declare module 'vitest' {
  interface ProvidedContext {
    vsix: string;
  }
}

export default function setup(project: TestProject): void {
  let vsix = process.env['CONVLAB_VSIX'];
  if (!vsix) {
    vsix = path.join(repository, 'out/convlab.vsix');
    execFileSync(process.execPath, ['scripts/package.mjs', '--out', vsix], { cwd: repository, stdio: 'inherit' });
  }
  project.provide('vsix', vsix);
}
