#!/usr/bin/env node
/**
 * Installs what the end-to-end tests drive, from npm into a cache outside the checkout, and prints where it is as JSON:
 * {"node": …, "codeServer": …}, or with --node only the first. code-server is VS Code served to a browser. By default it
 * is today's, which runs extensions on Node 24; with CONVLAB_EDITOR=oldest it is the oldest that ConvLab supports.
 * Called by test/e2e/server.ts and by .ci/run (which runs the trainer tests on that Node too).
 */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

const editors = {
  current: { codeServer: '4.139.1', node: '24', watchdog: '@vscode/native-watchdog', tools: [] },
  // Its node-pty calls node-gyp through npx, which would ask before it installs it.
  oldest: { codeServer: '4.100.3', node: '20', watchdog: 'native-watchdog', tools: ['node-gyp@11'] },
};
const editor = editors[process.env.CONVLAB_EDITOR || 'current'];
if (!editor) throw new Error(`CONVLAB_EDITOR is one of ${Object.keys(editors).join(', ')}.`);

const cache =
  process.env.CONVLAB_E2E_CACHE ??
  path.join(process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), '.cache'), 'convlab-e2e');

/** Runs npm, with `node` first on the path where given, and shows its output only when it fails. */
function npm(folder, args, node) {
  const env = {
    ...process.env,
    npm_config_audit: 'false',
    npm_config_fund: 'false',
    npm_config_update_notifier: 'false',
  };
  if (node) {
    env.PATH = `${path.dirname(node)}${path.delimiter}${env.PATH}`;
    // Native modules are compiled against the headers that come with that Node, so node-gyp need not fetch any.
    env.npm_config_nodedir = path.dirname(path.dirname(node));
  }
  // Only the caller's npm may leave its mark: npm passes its own settings to scripts in the environment.
  for (const name of Object.keys(env)) {
    if (/^npm_(config_(prefix|local_prefix|global_prefix|onnxruntime.*)|package_.*|lifecycle_.*)$/i.test(name))
      delete env[name];
  }
  try {
    execFileSync('npm', args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 28 });
  } catch (error) {
    process.stderr.write(`${error.stdout ?? ''}${error.stderr ?? ''}`);
    throw new Error(`“npm ${args.join(' ')}” failed in ${folder}: ${error.message.split('\n')[0]}`);
  }
}

/**
 * A folder of the cache, made by `build` when it is not there. It is built under another name and renamed when it is
 * complete, so an interrupted installation leaves nothing that looks finished, and two at once do no harm.
 */
function cached(name, build) {
  const folder = path.join(cache, name);
  if (fs.existsSync(folder)) return folder;
  fs.mkdirSync(cache, { recursive: true });
  const unfinished = fs.mkdtempSync(path.join(cache, `unfinished-${name}-`));
  try {
    fs.writeFileSync(path.join(unfinished, 'package.json'), '{ "private": true }\n');
    process.stderr.write(`Installing ${name} into ${cache}…\n`);
    build(unfinished);
    try {
      fs.renameSync(unfinished, folder);
    } catch (error) {
      if (!fs.existsSync(folder)) throw error;
    }
  } finally {
    fs.rmSync(unfinished, { recursive: true, force: true });
  }
  return folder;
}

function installNode() {
  const name = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`;
  const folder = cached(`${name}-${editor.node}`, (at) => npm(at, ['install', '--no-save', `${name}@${editor.node}`]));
  return path.join(folder, 'node_modules', name, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
}

/** code-server's own install script also downloads ripgrep from elsewhere; these are its other steps. */
function installCodeServer(node) {
  const folder = cached(`code-server-${editor.codeServer}`, (at) => {
    npm(at, ['install', '--no-save', '--ignore-scripts', '--omit=dev', `code-server@${editor.codeServer}`], node);
    const server = path.join(at, 'node_modules/code-server');
    const vscode = path.join(server, 'lib/vscode');
    npm(vscode, ['install', '--no-save', '--omit=dev', '--ignore-scripts', ...editor.tools], node);
    fs.symlinkSync('node_modules', path.join(vscode, 'node_modules.asar'));
    npm(vscode, ['rebuild', 'node-pty', '@vscode/spdlog', 'kerberos', editor.watchdog], node);
    npm(path.join(vscode, 'extensions'), ['install', '--omit=dev', '--ignore-scripts'], node);
    npm(at, ['rebuild', 'argon2'], node);
    execFileSync(node, [path.join(server, 'out/node/entry.js'), '--version'], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  });
  return path.join(folder, 'node_modules/code-server/out/node/entry.js');
}

const node = installNode();
console.log(JSON.stringify(process.argv.includes('--node') ? { node } : { node, codeServer: installCodeServer(node) }));
