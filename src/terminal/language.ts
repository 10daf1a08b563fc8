/**
 * Which language the terminal speaks, and in which characters: the user's, unless what they look at cannot show it. cli.ts
 * asks once, before anything is said.
 */
import { execFileSync } from 'node:child_process';
import * as path from 'node:path';

export const languages = ['en', 'zh-TW', 'zh-CN'] as const;

type Environment = Readonly<Record<string, string | undefined>>;

export interface Speech {
  /** A language tag. */
  readonly tag: string;
  /** Whether all characters can be shown; else our own words keep to ASCII. */
  readonly unicode: boolean;
  /** Whether characters of ambiguous width, such as “…” and “█”, may take two columns, as East Asian terminals have it. */
  readonly wide: boolean;
}

/**
 * @param asked by --lang; it is taken at its word
 * @param charset of what is written to, such as 'UTF-8'; undefined where nothing is known
 */
export function speechOf(
  asked: string | undefined,
  charset: string | undefined,
  env: Environment = process.env,
  platform: NodeJS.Platform = process.platform,
): Speech {
  // On Windows these are set by few; the system's own language is what Intl knows.
  const system = platform === 'win32' ? Intl.DateTimeFormat().resolvedOptions().locale : '';
  const locale = [env['LC_ALL'], env['LC_MESSAGES'], env['LANG'], system].find(Boolean) ?? '';
  const unicode = asked !== undefined || charset === undefined || /^utf-?(8|16)/i.test(charset);
  const tag = asked ?? (unicode ? locale.replace('_', '-') : 'en');
  const type = [env['LC_ALL'], env['LC_CTYPE'], env['LANG'], system].find(Boolean) ?? '';
  return { tag, unicode, wide: /^(zh|ja|ko)/i.test(type) || /^zh/i.test(tag) };
}

/**
 * The character set of what is written to standard output.
 * @param codePage asks Windows for the console's
 */
export function charsetOf(
  isTerminal: boolean,
  env: Environment = process.env,
  platform: NodeJS.Platform = process.platform,
  codePage: () => string | undefined = consoleCodePage,
): string | undefined {
  if (platform === 'win32') {
    // Node writes UTF-16 to a console; whoever reads a pipe takes it for the console's code page.
    if (isTerminal || env['MSYSTEM']) return 'UTF-16';
    const page = codePage();
    return page === '65001' ? 'UTF-8' : page && `CP${page}`;
  }
  // macOS's terminals are UTF-8 whatever the locale says.
  if (platform === 'darwin') return 'UTF-8';
  const locale = [env['LC_ALL'], env['LC_CTYPE'], env['LANG']].find(Boolean) ?? 'C';
  if (/^(C|POSIX)$/.test(locale)) return 'ASCII';
  // Without a charset it is the locale's own, which for some is not UTF-8: nothing is known.
  return /\.([^@]+)/.exec(locale)?.[1];
}

function consoleCodePage(): string | undefined {
  const chcp = path.join(process.env['SystemRoot'] ?? 'C:\\Windows', 'System32', 'chcp.com');
  try {
    return /\d+/.exec(execFileSync(chcp, { encoding: 'latin1', windowsHide: true, timeout: 2000 }))?.[0];
  } catch {
    return undefined;
  }
}

/** The typographic characters of our texts, and what stands for each in ASCII. */
const ascii: Readonly<Record<string, string>> = {
  '“': '"',
  '”': '"',
  '‘': "'",
  '’': "'",
  '…': '...',
  '–': '-',
  '—': '-',
  '−': '-',
  '×': 'x',
  '→': '->',
  '⏎': '|',
  '·': '-',
  '≥': '>=',
  '≤': '<=',
  '±': '+-',
  '\u00a0': ' ',
  '\u202f': ' ',
  '★': '*',
  '█': '#',
  '░': '-',
};

/** A text without typographic characters; names in it stay as they are. */
export const inAscii = (text: string): string =>
  [...text].map((character) => (Object.hasOwn(ascii, character) ? ascii[character]! : character)).join('');
