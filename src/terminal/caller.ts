/**
 * Where the user stands and how they call ConvLab: `npm run` moves to the folder of package.json and says in INIT_CWD where
 * it was called; commands that are printed are to be pasted there. All commands resolve paths and print commands with this.
 */
import * as path from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

/** The script of package.json that runs this, if one does: `npm run convlab` or `npm run train`. */
const npmScript = (env: Environment): string | undefined =>
  env['npm_package_name'] === 'convlab' && ['convlab', 'train'].includes(env['npm_lifecycle_event'] ?? '')
    ? env['npm_lifecycle_event']
    : undefined;

/** The folder that the user's paths are relative to. */
export const userFolder = (env: Environment = process.env): string =>
  (npmScript(env) && env['INIT_CWD']) || process.cwd();

/** A path as the user gave it, made absolute. */
export const givenPath = (given: string): string => path.resolve(userFolder(), given);

/** A path as the user would write it: relative where it lies below their folder. */
export function shownPath(file: string): string {
  const relative = path.relative(userFolder(), file);
  return relative && !relative.startsWith('..') && !path.isAbsolute(relative) ? relative : file;
}

/** What a word of a command is written as, so that the shell at hand hands it on as it is. */
export function quoted(word: string, platform: NodeJS.Platform = process.platform, env: Environment = process.env) {
  if (/^[\w@+=:,./-]+$/.test(word)) return word;
  if (platform !== 'win32') return `'${word.replaceAll("'", `'\\''`)}'`;
  if (/^[\w@+=:./\\-]+$/.test(word)) return word;
  // PSModulePath is set for all programs on Windows; PROMPT by cmd.exe alone, SHELL and MSYSTEM by Git Bash.
  if (env['MSYSTEM'] && env['SHELL']) return `'${word.replaceAll("'", `'\\''`)}'`;
  // Double quotes hold in cmd.exe and in PowerShell; file names have none inside. What PowerShell would expand in them needs
  // single ones, which cmd.exe does not know.
  return !env['PROMPT'] && /[$`]/.test(word) ? `'${word.replaceAll("'", "''")}'` : `"${word}"`;
}

/** A command of ConvLab's that can be pasted where the user stands. @param args the words after `convlab` */
export function commandLine(
  args: readonly string[],
  env: Environment = process.env,
  platform: NodeJS.Platform = process.platform,
  script: string = process.argv[1] ?? '',
): string {
  const quote = (word: string) => quoted(word, platform, env);
  // A package manager's link is called convlab; `node dist/cli.js` names the file.
  const direct = path.basename(script) === 'cli.js' && !script.includes('node_modules');
  const program = npmScript(env)
    ? ['npm', 'run', 'convlab', '--']
    : direct
      ? ['node', quote(shownPath(script))]
      : ['convlab'];
  return [...program, ...args.map(quote)].join(' ');
}
