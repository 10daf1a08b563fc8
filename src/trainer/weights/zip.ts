/**
 * Zip archives as torch.save makes them: entries that are stored, not compressed, in a file of less than 4 GiB. Reading
 * finds every entry through the archive's directory and checks its CRC; writing aligns each to 64 bytes, as PyTorch does.
 * pth.ts calls it. (Format: PKWARE's APPNOTE.TXT.)
 */
import * as fs from 'node:fs';
import { crc32 } from 'node:zlib';
import { readFully } from '../../disk/files';

/** An archive that is damaged or of a kind that torch.save does not make; the message says why. */
export class ZipError extends Error {}

export interface ZipEntry {
  readonly name: string;
  /** Bytes of the content, and where it begins in the file. */
  readonly size: number;
  readonly offset: number;
  readonly crc: number;
  /** Whether its content lies there as it is: what is compressed or encrypted is listed, and refused by {@link checkStored}. */
  readonly stored: boolean;
}

const signatures = { local: 0x04034b50, central: 0x02014b50, end: 0x06054b50 };
const endLength = 22;
const centralLength = 46;
const localLength = 30;
const alignment = 64;

/** Fills `bytes` from a place in a file. @throws ZipError where the file is too short */
export function readAt(descriptor: number, bytes: Uint8Array, position: number): void {
  if (!readFully(descriptor, bytes, position)) throw new ZipError('it is shorter than it should be');
}

/** Every entry of an archive, by name. Nothing is read but the directory. @throws ZipError */
export function readDirectory(descriptor: number): Map<string, ZipEntry> {
  const { size } = fs.fstatSync(descriptor);
  if (size > 0xfffffffe) throw new ZipError('it is larger than 4 GB');
  // The end record, behind which a comment of up to 64 KiB may follow.
  const tail = Buffer.alloc(Math.min(size, endLength + 0xffff));
  readAt(descriptor, tail, size - tail.length);
  let end = tail.length - endLength;
  while (end >= 0 && tail.readUInt32LE(end) !== signatures.end) end--;
  if (end < 0) throw new ZipError('its directory is missing; it may have been cut short');
  const count = tail.readUInt16LE(end + 10);
  const length = tail.readUInt32LE(end + 12);
  const start = tail.readUInt32LE(end + 16);
  const endPosition = size - tail.length + end;
  if (start + length > endPosition || count * centralLength > length) throw new ZipError('its directory is damaged');
  const directory = Buffer.alloc(length);
  readAt(descriptor, directory, start);
  const entries = new Map<string, ZipEntry>();
  for (let at = 0, i = 0; i < count; i++) {
    if (at + centralLength > length || directory.readUInt32LE(at) !== signatures.central) {
      throw new ZipError('its directory is damaged');
    }
    const [flags, method] = [directory.readUInt16LE(at + 8), directory.readUInt16LE(at + 10)];
    const crc = directory.readUInt32LE(at + 16);
    const [compressed, uncompressed] = [directory.readUInt32LE(at + 20), directory.readUInt32LE(at + 24)];
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((o) => directory.readUInt16LE(at + o)) as [
      number,
      number,
      number,
    ];
    const header = directory.readUInt32LE(at + 42);
    const name = directory.toString('utf8', at + centralLength, at + centralLength + nameLength);
    at += centralLength + nameLength + extraLength + commentLength;
    if (at > length) throw new ZipError('its directory is damaged');
    const stored = (flags & 1) === 0 && method === 0 && compressed === uncompressed;
    if (entries.has(name)) throw new ZipError(`it has two entries called “${name}”`);
    entries.set(name, { name, size: uncompressed, offset: contentOffset(descriptor, header, start), crc, stored });
    const entry = entries.get(name)!;
    if (entry.offset + compressed > start) throw new ZipError(`“${name}” in it reaches past its end`);
  }
  return entries;
}

/** @throws ZipError where an entry cannot be read as it lies there */
export function checkStored({ name, stored }: ZipEntry): void {
  if (!stored) throw new ZipError(`“${name}” in it is compressed or encrypted, which PyTorch’s files are not`);
}

/** Where an entry's content begins: behind its own header, whose lengths may differ from the directory's. */
function contentOffset(descriptor: number, header: number, directoryStart: number): number {
  if (header + localLength > directoryStart) throw new ZipError('its directory is damaged');
  const local = Buffer.alloc(localLength);
  readAt(descriptor, local, header);
  if (local.readUInt32LE(0) !== signatures.local) throw new ZipError('its directory is damaged');
  return header + localLength + local.readUInt16LE(26) + local.readUInt16LE(28);
}

/** Reads an entry into `bytes`, which has its size. @throws ZipError where the content does not match its CRC */
export function readEntry(descriptor: number, entry: ZipEntry, bytes: Uint8Array): void {
  readAt(descriptor, bytes, entry.offset);
  if (crc32(bytes) !== entry.crc) throw new ZipError(`the CRC of “${entry.name}” in it does not match`);
}

/** Writes an archive, entry by entry. The caller opens and closes the file. */
export class ZipWriter {
  private position = 0;
  private readonly directory: Buffer[] = [];

  constructor(private readonly descriptor: number) {}

  add(name: string, content: Uint8Array): void {
    const nameBytes = Buffer.from(name);
    const crc = crc32(content);
    const header = this.position;
    const bare = header + localLength + nameBytes.length;
    // An extra field of PyTorch's kind, 'FB', whose own head takes 4 bytes, fills up to the alignment.
    const padding = alignment - ((bare + 4) % alignment);
    const extra = Buffer.alloc(4 + padding, 'Z');
    extra.write('FB', 0);
    extra.writeUInt16LE(padding, 2);
    const local = Buffer.alloc(localLength);
    local.writeUInt32LE(signatures.local, 0);
    this.describe(local, 4, crc, content.length, nameBytes.length);
    local.writeUInt16LE(extra.length, 28);
    for (const part of [local, nameBytes, extra, content]) this.write(part);
    const central = Buffer.alloc(centralLength);
    central.writeUInt32LE(signatures.central, 0);
    this.describe(central, 6, crc, content.length, nameBytes.length);
    central.writeUInt32LE(header, 42);
    this.directory.push(central, nameBytes);
  }

  /** Writes the directory; nothing can be added afterwards. */
  finish(): void {
    const start = this.position;
    this.directory.forEach((part) => this.write(part));
    const end = Buffer.alloc(endLength);
    end.writeUInt32LE(signatures.end, 0);
    end.writeUInt16LE(this.directory.length / 2, 8);
    end.writeUInt16LE(this.directory.length / 2, 10);
    end.writeUInt32LE(this.position - start, 12);
    end.writeUInt32LE(start, 16);
    this.write(end);
  }

  /** What local and central headers have in common, from "version needed" on: UTF-8 names, stored, no date. */
  private describe(header: Buffer, at: number, crc: number, size: number, nameLength: number): void {
    header.writeUInt16LE(20, at);
    header.writeUInt16LE(1 << 11, at + 2);
    // 1980-01-01, the earliest date there is.
    header.writeUInt16LE(0x21, at + 8);
    header.writeUInt32LE(crc, at + 10);
    header.writeUInt32LE(size, at + 14);
    header.writeUInt32LE(size, at + 18);
    header.writeUInt16LE(nameLength, at + 22);
  }

  private write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      at += fs.writeSync(this.descriptor, bytes, at, Math.min(bytes.length - at, 1 << 30));
    }
    this.position += bytes.length;
    if (this.position > 0xfffffffe) throw new ZipError('it would be larger than 4 GB');
  }
}
