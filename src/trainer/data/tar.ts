/**
 * Reads chosen files out of a gzipped tar archive, into memory: nothing is written where an archive says, and an entry
 * that was not asked for, is no plain file, or is longer than expected is never read. cifar10.ts unpacks with it.
 */
import { list, ReadEntry } from 'tar';

/**
 * @param wanted name within the archive and the most bytes that it may have
 * @returns the wanted files, in the archive's order
 * @throws Error where the archive is damaged or cut short, or a wanted file is too long
 */
export async function readTar(file: string, wanted: ReadonlyMap<string, number>): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  let tooLong: string | undefined;
  const take = (entry: ReadEntry): void => {
    const { path, type, size } = entry;
    if (size > wanted.get(path)!) tooLong ??= path;
    if (type !== 'File' || tooLong) return;
    const pieces: Buffer[] = [];
    entry.on('data', (piece) => pieces.push(piece));
    entry.on('end', () => found.set(path, Buffer.concat(pieces)));
  };
  await list({ file, strict: true, filter: (path) => wanted.has(path), onReadEntry: take });
  if (tooLong) throw new Error(`${tooLong} is too long`);
  return found;
}
