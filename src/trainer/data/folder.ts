/**
 * A folder of images with one sub-folder per class: which layout it has, and every file in it by name and first bytes,
 * without decoding any. Links are never followed, so nothing outside of the folder is read and no image is met twice.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { message, UserError } from '../../core/messages/message';
import type { Flaw } from './flaws';
import { flawOf, sniff, sniffedBytes } from './formats';
import type { Candidate, Part } from './split';
import { breathe } from '../stop';

/** A file that cannot be used. */
export interface LeftOut {
  readonly name: string;
  readonly flaw: Flaw;
}

export interface ImageFolder {
  /** The real path of the folder that the names are relative to. */
  readonly root: string;
  readonly classNames: readonly string[];
  /** Parts that the folder itself gives, as sub-folders. */
  readonly givenParts: readonly Part[];
  /** Sorted by name. */
  readonly candidates: readonly Candidate[];
  readonly leftOut: readonly LeftOut[];
}

/** Where a class's images lie. */
interface ClassFolder {
  readonly folder: string;
  readonly label: number;
  readonly part?: Part;
}

interface Layout {
  readonly classNames: readonly string[];
  readonly folders: readonly ClassFolder[];
  readonly givenParts: readonly Part[];
}

/** So many first bytes tell an image from another of the same size: its header, and the beginning of what it shows. */
const headBytes = 4096;

/** How deep below the folder that the user names its classes are looked for. */
const deepestLayout = 3;
/** Files that systems put beside images. */
const bystander = /^(\.|thumbs\.db$|desktop\.ini$|__macosx$)/i;

const splitNames: Record<Part, RegExp> = {
  train: /^train(ing)?([ _-]?(set|data))?$/i,
  validation: /^val(id(ation)?)?([ _-]?(set|data))?$/i,
  test: /^test(ing)?([ _-]?(set|data))?$/i,
};

/** 'cat' for “Cats”: lower case, without a plural's s. */
const singular = (name: string): string => name.toLowerCase().replace(/s$/, '');

/**
 * Finds the classes of a folder and lists its images.
 * @param signal looked at every few hundred files; the process can do other things then
 * @throws UserError where the folder is not there or has no two classes
 */
export async function indexFolder(folder: string, signal = new AbortController().signal): Promise<ImageFolder> {
  let root: string;
  try {
    root = fs.realpathSync(folder);
    if (!fs.statSync(root).isDirectory()) throw new Error('not a folder');
  } catch {
    throw new UserError(message('imagesFolderMissing', { folder }), message('imagesFolderAdvice'));
  }
  const layout = findLayout(root, deepestLayout) ?? fail(folder, root);
  const candidates: Candidate[] = [];
  const leftOut: LeftOut[] = [];
  const buffer = Buffer.alloc(headBytes);
  let seen = 0;
  for (const { folder: classFolder, label, part } of layout.folders) {
    const before = candidates.length;
    for (const entry of walk(classFolder)) {
      const name = path.relative(root, entry.file).split(path.sep).join('/');
      const found = entry.flaw ?? look(entry.file, buffer);
      if (typeof found === 'string') leftOut.push({ name, flaw: found });
      else candidates.push({ name, label, ...found, ...(part ? { part } : {}) });
      if (++seen % 256 === 0) await breathe(signal);
    }
    if (candidates.length === before && !sameClassElsewhere(layout, label, part, classFolder)) {
      throw new UserError(message('imagesClassEmpty', { folder: classFolder }), message('imagesFolderAdvice'));
    }
  }
  const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
  return {
    root,
    classNames: layout.classNames,
    givenParts: layout.givenParts,
    candidates: candidates.sort(byName),
    leftOut: leftOut.sort(byName),
  };
}

/** Whether a class has a second folder in the same part (“cat” beside “Cats”). */
const sameClassElsewhere = (layout: Layout, label: number, part: Part | undefined, folder: string): boolean =>
  layout.folders.some((other) => other.label === label && other.part === part && other.folder !== folder);

/** Size and first bytes of an image, or what is wrong with the file. */
function look(file: string, buffer: Buffer): { bytes: number; head: string } | Flaw {
  let descriptor: number | undefined;
  try {
    descriptor = fs.openSync(file, 'r');
    const bytes = fs.readSync(descriptor, buffer, 0, headBytes, 0);
    const { size } = fs.fstatSync(descriptor);
    const head = createHash('sha256').update(buffer.subarray(0, bytes)).digest('hex').slice(0, 16);
    return flawOf(sniff(buffer.subarray(0, Math.min(bytes, sniffedBytes)), bytes)) ?? { bytes: size, head };
  } catch {
    return 'unreadable';
  } finally {
    if (descriptor !== undefined) fs.closeSync(descriptor);
  }
}

/** Files below a folder; links and folders that may not be read with what is wrong with them. */
function* walk(folder: string): Generator<{ file: string; flaw?: Flaw }> {
  const entries = entriesOf(folder);
  if (!entries) yield { file: folder, flaw: 'unreadable' };
  for (const entry of entries ?? []) {
    const file = path.join(folder, entry.name);
    if (entry.isDirectory()) yield* walk(file);
    else if (entry.isSymbolicLink()) yield { file, flaw: 'link' };
    else if (entry.isFile()) yield { file };
  }
}

function entriesOf(folder: string): fs.Dirent[] | undefined {
  try {
    return fs.readdirSync(folder, { withFileTypes: true }).filter((entry) => !bystander.test(entry.name));
  } catch {
    return undefined;
  }
}

const subfolders = (folder: string): string[] =>
  (entriesOf(folder) ?? [])
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();

/** The layout of a folder, or of the one sub-folder that stands for it. */
function findLayout(folder: string, depth: number): Layout | undefined {
  const names = subfolders(folder);
  const given = (Object.keys(splitNames) as Part[]).flatMap((part) => {
    const name = names.find((n) => splitNames[part].test(n));
    const classes = name === undefined || depth === 0 ? undefined : findLayout(path.join(folder, name), depth - 1);
    return classes ? [{ part, classes }] : [];
  });
  if (given.length > 1 && given[0]!.part === 'train') {
    const { classNames } = given[0]!.classes;
    const alike = given.filter(({ classes }) => classes.classNames.join('/') === classNames.join('/'));
    return {
      classNames,
      folders: alike.flatMap(({ part, classes }) => classes.folders.map((f) => ({ ...f, part }))),
      givenParts: alike.map(({ part }) => part),
    };
  }
  const animals = ['cat', 'dog'].map((animal) => names.filter((name) => singular(name) === animal));
  if (animals.every((found) => found.length > 0)) {
    const folders = animals.flatMap((found, label) =>
      found.map((name) => ({ folder: path.join(folder, name), label })),
    );
    return { classNames: ['cat', 'dog'], folders, givenParts: [] };
  }
  if (given.length === 1) return given[0]!.classes;
  // An archive often unpacks into a folder of its own; Microsoft's has the classes in PetImages, beside other things.
  const inner = names.find((name) => /^petimages$/i.test(name)) ?? (names.length === 1 ? names[0] : undefined);
  if (inner !== undefined) return depth > 0 ? findLayout(path.join(folder, inner), depth - 1) : undefined;
  if (names.length !== 2) return undefined;
  const folders = names.map((name, label) => ({ folder: path.join(folder, name), label }));
  return { classNames: names, folders, givenParts: [] };
}

/** Says what is missing in a folder without two classes. */
function fail(folder: string, root: string): never {
  const names = subfolders(root);
  const text =
    names.length === 0
      ? message('imagesNoClasses', { folder })
      : names.length === 1
        ? message('imagesOneClass', { folder, name: names[0]! })
        : message('imagesManyClasses', { folder, count: names.length });
  throw new UserError(text, message('imagesFolderAdvice'));
}
