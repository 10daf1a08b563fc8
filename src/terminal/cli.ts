/**
 * `convlab`, the trainer on the terminal: finds the command that the command line names, refuses what it does not take, and
 * ends with the status that says what became of it. Commands start the same child process as the editor does.
 */
import { parseArgs } from 'node:util';
import stringWidth from 'string-width';
import { nearest } from '../core/experiment';
import { message, UserError } from '../core/messages/message';
import { badOption, Command, Exit, OptionName, options, UsageError, Values } from './command';
import { compare } from './commands/compare';
import { data } from './commands/data';
import { engines } from './commands/engines';
import { exportNetwork } from './commands/export';
import { list } from './commands/list';
import { setup } from './commands/setup';
import { train } from './commands/train';
import { charsetOf, languages, speechOf } from './language';
import { complain, outputFailure, say, watchOutput } from './output';
import { sentence, speak, t } from './speech';

const commands: Readonly<Record<string, Command>> = {
  list,
  train,
  compare,
  export: exportNetwork,
  engines,
  data,
  setup,
};

/** What goes with every command. */
const common: readonly OptionName[] = ['lang', 'help'];

/** Columns of a line of the usage. */
const usageWidth = 112;

function setLanguage(asked: string | undefined): void {
  if (asked !== undefined && !languages.some((l) => l.toLowerCase() === asked.toLowerCase())) {
    throw badOption('--lang', asked, message('expectedOneOf', { known: languages.join(', ') }));
  }
  speak(speechOf(asked, charsetOf(process.stdout.isTTY)));
}

function usage(): string {
  const lines = Object.entries(commands).map(
    ([name, command]) => `${synopsis(name, command)}\n      ${t(command.about)}`,
  );
  return [t(message('usage')), ...lines, '', `  --lang ${options.lang.value}`, t(message('usageExit'))].join('\n');
}

/** A command with what it takes, in lines that are no longer than the usage is wide where that can be. */
function synopsis(name: string, { argument, options: taken, required = [] }: Command): string {
  const words = [`  convlab ${name}`];
  if (argument) {
    const name = `${argument.name}${argument.several ? '…' : ''}`;
    words.push(argument.required ? name : `[${name}]`);
  }
  for (const option of taken) {
    const told = options[option];
    const text = 'value' in told ? `--${option} ${told.value}` : `--${option}`;
    words.push(`${required.includes(option) ? text : `[${text}]`}${'multiple' in told ? '…' : ''}`);
  }
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last === undefined) lines.push(word);
    else if (stringWidth(last) + 1 + stringWidth(word) <= usageWidth) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(`      ${word}`);
  }
  return lines.join('\n');
}

/** The command that these words name. @throws UsageError */
function commandNamed(name: string): Command {
  if (Object.hasOwn(commands, name)) return commands[name]!;
  const near = nearest(name, Object.keys(commands));
  throw new UsageError(
    near
      ? message('unknownCommandNearest', { command: name, nearest: near })
      : message('unknownCommand', { command: name }),
  );
}

/** @throws UsageError where something is stray, missing or empty */
function check(
  name: string,
  { argument, options: taken, required = [] }: Command,
  args: string[],
  values: Values,
): void {
  const given = Object.keys(values) as OptionName[];
  const stray = given.find((option) => !taken.includes(option) && !common.includes(option));
  if (stray) throw new UsageError(message('tooManyArguments', { command: name, argument: `--${stray}` }));
  const extra = argument?.several ? undefined : args[argument ? 1 : 0];
  if (extra !== undefined) throw new UsageError(message('tooManyArguments', { command: name, argument: extra }));
  const missing = [
    ...(argument?.required?.(values) && args.length === 0 ? [argument.name] : []),
    ...required.filter((option) => values[option] === undefined).map((option) => `--${option}`),
  ];
  if (missing.length) throw new UsageError(message('missingArgument', { command: name, argument: missing[0]! }));
  const empty = given.find((option) => values[option] === '');
  if (empty) throw badOption(`--${empty}`, '', message('expectedSomething'));
}

async function main(argv: readonly string[]): Promise<number> {
  let command: Command | undefined;
  let status: number;
  watchOutput();
  try {
    setLanguage(undefined);
    const { values, positionals } = parse(argv);
    setLanguage(values.lang);
    mustStandSomewhere();
    const [name, ...args] = positionals;
    if (values.help || name === undefined) {
      say(usage());
      status = values.help ? Exit.ok : Exit.usage;
    } else {
      command = commandNamed(name);
      check(name, command, args, values);
      status = await command.run(args, values);
    }
  } catch (error) {
    status = tell(error);
  }
  const failure = await outputFailure();
  if (failure === undefined) return status;
  // Nobody reads any more: that is told by the status alone, and only where something is left undone.
  if (failure === 'gone') return status === Exit.ok && !command?.works ? Exit.stopped : status;
  complain(t(message('errorLine', { text: t(message('outputFailed', { reason: failure.message })) })));
  return Exit.failed;
}

/** Says what went wrong. @returns the exit status for it */
function tell(error: unknown): number {
  if (error instanceof UserError) {
    complain(t(message('errorLine', { text: sentence(error) })));
    if (error instanceof UsageError) complain(`\n${usage()}`);
    return error instanceof UsageError ? Exit.usage : Exit.failed;
  }
  const reason = error instanceof Error ? error.message : String(error);
  complain(t(message('errorLine', { text: t(message('unexpectedError', { reason })) })));
  if (process.env['CONVLAB_DEBUG'] && error instanceof Error) complain(error.stack ?? '');
  return Exit.failed;
}

function parse(argv: readonly string[]): { values: Values; positionals: string[] } {
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(message('badOptions', { reason: (error as Error).message }));
  }
}

/** @throws UserError where the working folder has been deleted, so that no path has a meaning */
function mustStandSomewhere(): void {
  try {
    process.cwd();
  } catch (error) {
    throw new UserError(message('workingFolderGone'), message('workingFolderGoneAdvice'), { cause: error });
  }
}

void main(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});
