/** How the terminal speaks: columns, characters, commands to paste. */
import { EventEmitter } from 'node:events';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import stringWidth from 'string-width';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { RunEvent } from '../../src/core/contracts/events';
import { commandLine, quoted, shownPath, userFolder } from '../../src/terminal/caller';
import { PersonDisplay } from '../../src/terminal/display';
import { charsetOf, inAscii, speechOf } from '../../src/terminal/language';
import { speak } from '../../src/terminal/speech';
import { cut, StatusLine, Terminal } from '../../src/terminal/statusLine';

class FakeTerminal extends EventEmitter {
  readonly isTTY = true;
  written: string[] = [];
  constructor(public columns: number) {
    super();
  }
  write(text: string): boolean {
    this.written.push(text);
    return true;
  }
  resize(columns: number): void {
    this.columns = columns;
    this.emit('resize');
  }
  /** The last line as it was drawn, without what moves the cursor. */
  get line(): string {
    return this.written.at(-1)!.replace(/^\r\u001b\[2K/, '');
  }
}
const asTerminal = (fake: FakeTerminal) => fake as unknown as Terminal;

describe('the status line', () => {
  const chinese = '██████░░░░ 第 3/10 個 epoch  損失 0.1234  每秒 2000 張影像  剩餘 1:23…（測試用的長文字，不該換行）';

  it('is cut by columns, not by characters', () => {
    const terminal = new FakeTerminal(60);
    new StatusLine(false, asTerminal(terminal), 'xterm').show(chinese);
    expect(stringWidth(terminal.line)).toBeLessThan(60);
    // As much as fits: the next character would take at most two columns.
    expect(stringWidth(terminal.line)).toBeGreaterThanOrEqual(58);
  });

  it('counts two columns for ambiguous characters where a terminal may draw them so', () => {
    expect(cut('██████', 6)).toBe('██████');
    expect(cut('██████', 6, true)).toBe('███');
    expect(cut('a…b', 3, true)).toBe('a…');
  });

  it('divides no character', () => {
    expect(cut('e\u0301e\u0301', 1)).toBe('e\u0301');
    expect(cut('👩‍🔬x', 1)).toBe('');
  });

  it('is drawn again when the columns change, until it is cleared', () => {
    const terminal = new FakeTerminal(80);
    const status = new StatusLine(true, asTerminal(terminal), 'xterm');
    status.show(chinese);
    terminal.resize(30);
    expect(stringWidth(terminal.line, { ambiguousIsNarrow: false })).toBeLessThan(30);
    status.clear();
    const before = terminal.written.length;
    terminal.resize(50);
    expect(terminal.written).toHaveLength(before);
    expect(terminal.listenerCount('resize')).toBe(0);
  });

  it('is none on a terminal that cannot move its cursor', () => {
    const terminal = new FakeTerminal(80);
    const status = new StatusLine(false, asTerminal(terminal), 'dumb');
    status.show('x');
    status.clear();
    expect([status.visible, terminal.written]).toEqual([false, []]);
  });
});

describe('a run that goes on', () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-test-'));
  const { isTTY } = process.stderr;
  afterEach(() => {
    vi.restoreAllMocks();
    process.stderr.isTTY = isTTY;
    fs.rmSync(folder, { recursive: true, force: true });
  });

  it('has its progress bar', () => {
    const started = { type: 'started', experiment: { epochs: 4 }, stepsPerEpoch: 10 };
    fs.writeFileSync(path.join(folder, 'metrics.jsonl'), `${JSON.stringify(started)}\n`);
    const drawn: string[] = [];
    process.stderr.isTTY = true;
    vi.stubEnv('TERM', 'xterm');
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => drawn.push(String(text)) > 0);
    vi.spyOn(process.stdout, 'write').mockReturnValue(true);
    const display = new PersonDisplay(folder);
    const step = { epoch: 3, step: 0, loss: 1, imagesPerSecond: 10, secondsLeft: 65 };
    display.event({ type: 'resumed', epoch: 3, step: 0 } as RunEvent);
    display.event({ type: 'step', ...step } as unknown as RunEvent);
    expect(drawn.join('')).toMatch(/█{12,13}░{11,12} Epoch 3\/4 .*1:05 left/);
  });
});

describe('characters', () => {
  it('are those of the locale, of a console, or unknown', () => {
    expect(charsetOf(true, { LANG: 'zh_TW.UTF-8' }, 'linux')).toBe('UTF-8');
    expect(charsetOf(true, { LANG: 'zh_CN.GBK' }, 'linux')).toBe('GBK');
    expect(charsetOf(true, { LC_ALL: 'zh_TW.big5', LANG: 'zh_TW.UTF-8' }, 'linux')).toBe('big5');
    expect(charsetOf(true, { LC_ALL: 'C' }, 'linux')).toBe('ASCII');
    expect(charsetOf(true, {}, 'linux')).toBe('ASCII');
    expect(charsetOf(true, {}, 'darwin')).toBe('UTF-8');
    expect(charsetOf(true, {}, 'win32', () => '936')).toBe('UTF-16');
    expect(charsetOf(false, {}, 'win32', () => '936')).toBe('CP936');
    expect(charsetOf(false, {}, 'win32', () => '950')).toBe('CP950');
    expect(charsetOf(false, {}, 'win32', () => '65001')).toBe('UTF-8');
    expect(charsetOf(false, {}, 'win32', () => undefined)).toBeUndefined();
  });

  it('that cannot be shown are not: English in ASCII, unless a language is asked for', () => {
    expect(speechOf(undefined, 'GBK', { LANG: 'zh_CN.GBK' }, 'linux')).toEqual({
      tag: 'en',
      unicode: false,
      wide: true,
    });
    expect(speechOf('zh-TW', 'ASCII', {}, 'linux')).toMatchObject({ tag: 'zh-TW', unicode: true });
    expect(speechOf(undefined, 'UTF-8', { LANG: 'zh_TW.UTF-8' }, 'linux')).toEqual({
      tag: 'zh-TW.UTF-8',
      unicode: true,
      wide: true,
    });
    expect(inAscii('“224×224” … – 影像')).toBe('"224x224" ... - 影像');
  });

  it('follow the system’s language where no variable says it', () => {
    const { locale } = Intl.DateTimeFormat().resolvedOptions();
    expect(speechOf(undefined, 'UTF-16', {}, 'win32').tag).toBe(locale);
    expect(speechOf(undefined, 'UTF-16', { LANG: 'zh_TW' }, 'win32').tag).toBe('zh-TW');
  });

  it('of ours all have one in ASCII', async () => {
    const { texts } = await import('../../src/core/messages/texts');
    // Middle dots and the like would reach a console that has no sign for them.
    expect(Object.values(texts).filter((text) => /[^\u0000-\u007f]/.test(inAscii(text)))).toEqual([]);
    speak(speechOf('en', undefined));
  });
});

describe('a command to paste', () => {
  const npm = { npm_package_name: 'convlab', npm_lifecycle_event: 'train', INIT_CWD: '/home/a b' };

  it('is as the user calls ConvLab', () => {
    expect(commandLine(['train', '--resume', 'x'], npm, 'linux', '/c/dist/cli.js')).toBe(
      'npm run convlab -- train --resume x',
    );
    expect(commandLine(['list'], {}, 'linux', path.resolve('dist/cli.js'))).toBe('node dist/cli.js list');
    expect(commandLine(['list'], {}, 'linux', '/usr/bin/convlab')).toBe('convlab list');
    // Another project's script that calls the program says nothing of how its user does.
    expect(commandLine(['list'], { ...npm, npm_package_name: 'mine' }, 'linux', '/usr/bin/convlab')).toBe(
      'convlab list',
    );
  });

  it('names paths from where the user stands', () => {
    expect(userFolder(npm)).toBe('/home/a b');
    expect(userFolder({})).toBe(process.cwd());
    expect(shownPath(path.resolve('a/b'))).toBe(path.join('a', 'b'));
    expect(shownPath('/elsewhere/x')).toBe('/elsewhere/x');
  });

  it('is quoted for the shell at hand', () => {
    expect(quoted('runs/2026-01-01', 'linux', {})).toBe('runs/2026-01-01');
    expect(quoted("it's $HOME", 'linux', {})).toBe(`'it'\\''s $HOME'`);
    expect(quoted('', 'linux', {})).toBe("''");
    expect(quoted('C:\\my runs\\x', 'win32', { PROMPT: '$P$G' })).toBe('"C:\\my runs\\x"');
    expect(quoted('C:\\runs\\x', 'win32', {})).toBe('C:\\runs\\x');
    expect(quoted('C:\\$x y', 'win32', {})).toBe("'C:\\$x y'");
    expect(quoted('C:\\my runs', 'win32', { MSYSTEM: 'MINGW64', SHELL: '/bin/bash' })).toBe("'C:\\my runs'");
  });
});
