import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { spawnSync } from 'node:child_process';
import { buildSync } from 'esbuild';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { diskError, makeFolder, replace, writeAtomically } from '../../src/disk/files';
import { comparable, isInside } from '../../src/disk/places';

let folder: string;
beforeEach(() => (folder = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-files-'))));
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

const systemError = (code: string) => Object.assign(new Error(`${code}: as the system says it`), { code });

describe('a folder', () => {
  it('is made with those above it, and again without complaint', () => {
    const deep = path.join(folder, 'a', 'b', 'c');
    makeFolder(deep);
    makeFolder(deep);
    expect(fs.statSync(deep).isDirectory()).toBe(true);
  });

  it.runIf(process.platform === 'linux')('where none can be made is refused at once', () => {
    // In a process of its own: what went wrong here never returned, and a test cannot interrupt that.
    const script = path.join(folder, 'make.cjs');
    buildSync({
      stdin: {
        contents: `import { makeFolder } from './src/disk/files';
          try { makeFolder('/proc/convlab/runs'); } catch (error) { console.log(error.code); }`,
        resolveDir: path.resolve('.'),
        loader: 'ts',
      },
      bundle: true,
      platform: 'node',
      logLevel: 'error',
      outfile: script,
    });
    const { stdout, signal } = spawnSync(process.execPath, [script], { encoding: 'utf8', timeout: 20_000 });
    expect(signal).toBeNull();
    expect(stdout).toMatch(/^(ENOENT|EACCES|EPERM)\n$/);
  });

  it('is not made in place of a file', () => {
    fs.writeFileSync(path.join(folder, 'file'), '');
    expect(() => makeFolder(path.join(folder, 'file', 'below'))).toThrow(/EEXIST|ENOTDIR/);
  });
});

describe('replacing', () => {
  it('waits for a program that has the file open for a moment', () => {
    let refused = 3;
    const seen: string[] = [];
    replace('from', 'to', (from, to) => {
      if (refused-- > 0) throw systemError('EBUSY');
      seen.push(from, to);
    });
    expect(seen).toEqual(['from', 'to']);
  });

  it('tells at once what waiting does not help', () => {
    let tries = 0;
    const rename = () => {
      tries++;
      throw systemError('ENOSPC');
    };
    expect(() => replace('from', 'to', rename)).toThrow('ENOSPC');
    expect(tries).toBe(1);
  });

  it('leaves no part of a file that could not be written', () => {
    fs.mkdirSync(path.join(folder, 'taken', 'full'), { recursive: true });
    expect(() => writeAtomically(path.join(folder, 'taken'), 'text')).toThrow();
    expect(fs.readdirSync(folder)).toEqual(['taken']);
  });
});

describe('the sentence for a failed write', () => {
  it.each([
    ['EROFS', 'cache', 'cannot write to its cache folder HERE: the disk is read-only. Make', 'CONVLAB_CACHE'],
    ['EACCES', 'run', 'cannot write to the runs folder HERE (permission denied). Make', 'choose another'],
    ['ENOSPC', 'cache', 'The disk of HERE is full (ENOSPC). Free', 'CONVLAB_CACHE'],
    ['ENOSPC', 'run', 'The disk of HERE is full (ENOSPC). Free', 'resume the run'],
  ] as const)('%s, %s', (code, purpose, ...parts) => {
    const text = diskError(folder, systemError(code), purpose).message.replaceAll(folder, 'HERE');
    for (const part of parts) expect(text).toContain(part);
  });

  it('says of a folder that is gone that it is gone', () => {
    const gone = path.join(folder, 'gone');
    expect(diskError(gone, systemError('ENOENT')).message).toBe(
      `The folder ${gone} is no longer there. Put it back to keep what was trained, or start a new run.`,
    );
  });
});

describe('paths', () => {
  it.each([
    ['c:\\RUNS\\x', 'C:\\runs', 'win32', true],
    ['C:/runs/x', 'c:\\Runs', 'win32', true],
    ['D:\\runs\\x', 'C:\\runs', 'win32', false],
    ['C:\\runs2\\x', 'C:\\runs', 'win32', false],
    ['/runs/x', '/runs', 'linux', true],
    ['/RUNS/x', '/runs', 'linux', false],
    ['/runs', '/runs', 'linux', false],
    ['/runs/..x', '/runs', 'linux', true],
    ['/other', '/runs', 'linux', false],
  ] as const)('%s inside %s on %s: %s', (name, inside, platform, expected) => {
    expect(isInside(name, inside, platform)).toBe(expected);
  });

  it('that differ in case or slash are one on Windows', () => {
    expect(comparable('C:\\Users\\A', 'win32')).toBe(comparable('c:/users/a', 'win32'));
    expect(comparable('/a', 'linux')).not.toBe(comparable('/A', 'linux'));
  });
});
