/**
 * A code-server for the end-to-end tests: VS Code served to a browser, on a free port, with user data, extensions and
 * folders of its own that vanish with it. Started by the tests and by the script that takes the images.
 */
import { ChildProcess, execFileSync, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as net from 'node:net';
import * as os from 'node:os';
import * as path from 'node:path';

export interface CodeServer {
  /** The address of a workbench on `folder` (or a .code-workspace file), or with no folder open. */
  url(folder?: string): string;
  /** A new folder that vanishes with the server; empty but for its settings. */
  folder(name: string, settings?: Readonly<Record<string, unknown>>): string;
  /** Where an extension was unpacked. @param name as in 'publisher.name' */
  extension(name: string): string;
  readonly userData: string;
  /** What the server and the extension host logged, for a failing test's report. */
  log(): string;
  /** What the extension host logged as errors on account of an extension. */
  errors(extension: string): string[];
  stop(): Promise<void>;
}

export interface CodeServerOptions {
  /** .vsix files or folders of extensions to install. */
  readonly extensions: readonly string[];
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Settings that belong to the machine, such as paths of programs: user settings cannot give them here. */
  readonly machineSettings?: Readonly<Record<string, unknown>>;
  /** The display language, 'zh-tw' for instance; English otherwise. */
  readonly locale?: string;
}

export const repository = path.resolve(import.meta.dirname, '../..');

interface Installed {
  readonly node: string;
  readonly codeServer: string;
}

let found: Installed | undefined;

/** Where code-server is; installs it the first time, which takes a minute or two. */
export function installed(): Installed {
  found ??= JSON.parse(
    execFileSync(process.execPath, [path.join(repository, 'scripts/codeServer.mjs')], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    }),
  ) as Installed;
  return found;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as net.AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

/** Nothing that an editor would say by itself may lie over what a test clicks or an image shows. */
const quietSettings = {
  'workbench.startupEditor': 'none',
  'workbench.tips.enabled': false,
  'workbench.welcomePage.walkthroughs.openOnInstall': false,
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'chat.disableAIFeatures': true,
  'chat.commandCenter.enabled': false,
  'telemetry.telemetryLevel': 'off',
  'extensions.autoCheckUpdates': false,
  'extensions.ignoreRecommendations': true,
  'security.workspace.trust.enabled': false,
  'git.enabled': false,
  'remote.autoForwardPorts': false,
  'window.commandCenter': false,
};

/**
 * Makes a display language known without its language pack: the workbench's own texts stay English, and extensions are
 * told the language and show theirs.
 */
function declareLanguage(userData: string, locale: string): void {
  const translations = path.join(userData, 'translations.json');
  fs.writeFileSync(translations, JSON.stringify({ version: '1.0.0', contents: {} }));
  const pack = {
    hash: 'none',
    extensions: [{ extensionIdentifier: { id: 'test.language-pack' }, version: '1.0.0' }],
    translations: { vscode: translations },
    label: locale,
  };
  fs.writeFileSync(path.join(userData, 'languagepacks.json'), JSON.stringify({ [locale]: pack }));
}

/** Starts a server and waits until it answers. */
export async function startCodeServer(options: CodeServerOptions): Promise<CodeServer> {
  const { node, codeServer } = installed();
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'convlab-e2e-'));
  const userData = path.join(root, 'user-data');
  const extensions = path.join(root, 'extensions');
  fs.mkdirSync(path.join(userData, 'User'), { recursive: true });
  fs.mkdirSync(extensions);
  fs.writeFileSync(
    path.join(userData, 'User/settings.json'),
    JSON.stringify({ ...quietSettings, ...options.settings }),
  );
  if (options.machineSettings) {
    fs.mkdirSync(path.join(userData, 'Machine'));
    fs.writeFileSync(path.join(userData, 'Machine/settings.json'), JSON.stringify(options.machineSettings));
  }
  if (options.locale) declareLanguage(userData, options.locale);
  // Not the settings of whoever runs the tests: code-server would read ~/.config/code-server/config.yaml.
  const config = path.join(root, 'config.yaml');
  fs.writeFileSync(config, 'auth: none\n');
  const common = ['--config', config, '--user-data-dir', userData, '--extensions-dir', extensions];
  // The tests may run inside an editor's terminal or a script of npm; the server shall not notice.
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(VSCODE_|ELECTRON_|npm_|VITEST|NODE_OPTIONS|CONVLAB_TENSORFLOW$|LANG$|LC_)/.test(name),
  );
  // Speeds that were measured, and data and weights that were fetched, are its own too: what is shown does not depend on
  // whatever its user did before.
  const env = { ...Object.fromEntries(inherited), CONVLAB_CACHE: path.join(root, 'cache') };

  for (const extension of options.extensions) {
    if (extension.endsWith('.vsix')) {
      execFileSync(node, [codeServer, ...common, '--install-extension', extension], { env, stdio: 'pipe' });
    } else {
      fs.cpSync(extension, path.join(extensions, path.basename(extension)), { recursive: true });
    }
  }

  const port = await freePort();
  const lines: string[] = [];
  const child: ChildProcess = spawn(
    node,
    [
      codeServer,
      ...common,
      ...['--bind-addr', `127.0.0.1:${port}`],
      ...(options.locale ? ['--locale', options.locale] : []),
      ...[
        '--disable-telemetry',
        '--disable-update-check',
        '--disable-workspace-trust',
        '--disable-getting-started-override',
      ],
    ],
    { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true },
  );
  child.stdout!.on('data', (data: Buffer) => lines.push(data.toString()));
  child.stderr!.on('data', (data: Buffer) => lines.push(data.toString()));
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));

  const log = () => {
    const logs = path.join(userData, 'logs');
    const names = fs.existsSync(logs) ? (fs.readdirSync(logs, { recursive: true }) as string[]) : [];
    const interesting = names.filter((name) => /remoteexthost\.log$|ConvLab\.log$/.test(name));
    return [lines.join(''), ...interesting.map((n) => `--- ${n}\n${fs.readFileSync(path.join(logs, n), 'utf8')}`)].join(
      '\n',
    );
  };
  const deadline = Date.now() + 60_000;
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => undefined);
    if (answer?.ok) break;
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`code-server did not start:\n${log()}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }

  return {
    userData,
    url(folder) {
      const query =
        folder === undefined
          ? 'ew=true'
          : `${folder.endsWith('.code-workspace') ? 'workspace' : 'folder'}=${encodeURIComponent(folder)}`;
      return `http://127.0.0.1:${port}/?${query}`;
    },
    folder(name, folderSettings) {
      const folder = path.join(root, 'folders', name);
      fs.mkdirSync(path.join(folder, '.vscode'), { recursive: true });
      if (folderSettings) fs.writeFileSync(path.join(folder, '.vscode/settings.json'), JSON.stringify(folderSettings));
      return folder;
    },
    extension(name) {
      const folder = fs.readdirSync(extensions).find((entry) => entry.startsWith(`${name}-`));
      if (folder === undefined) throw new Error(`The extension ${name} is not installed.`);
      return path.join(extensions, folder);
    },
    log,
    errors(extension) {
      // An entry begins with its time; the lines below are its stack.
      const entries = log().split(/\n(?=\d{4}-\d\d-\d\d \d\d:)/);
      return entries.filter((entry) => /^\S+ \S+ \[error\]/.test(entry) && entry.includes(`/${extension}-`));
    },
    async stop() {
      // The whole group: the server's extension hosts are processes of their own.
      process.kill(-child.pid!, 'SIGTERM');
      const patience = setTimeout(() => process.kill(-child.pid!, 'SIGKILL'), 15_000);
      await exited;
      clearTimeout(patience);
      fs.rmSync(root, { recursive: true, force: true, maxRetries: 20, retryDelay: 250 });
    },
  };
}
