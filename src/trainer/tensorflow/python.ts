/**
 * The TensorFlow that a Python on this machine has: finds the interpreter and the library, the headers and whatever is
 * missing of them, without importing TensorFlow. Used by setup.ts.
 */
import { existsSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { message, UserError } from '../../core/messages/message';
import { findProgram, isProgram, runProgram } from '../programs';

export interface PythonTensorflow {
  readonly python: string;
  /** Folder of the package. */
  readonly folder: string;
  /** Absolute paths of the C++ library, which exports the C interface, and of the one that it rests on. */
  readonly libraries: readonly [string, string];
  readonly include: string;
}

const query = `
import importlib.util, json, os, sys
spec = importlib.util.find_spec("tensorflow")
places = list(spec.submodule_search_locations or []) if spec else []
print(json.dumps({"folder": places[0] if places else None, "prefix": sys.prefix}))
`;

/** Of a cold start on a slow disk. */
const queryTimeoutMs = 60_000;

/**
 * The TensorFlow of one interpreter.
 * @param asked the interpreter, its name on the PATH, or the folder of a virtual environment
 * @throws UserError that names what is missing
 */
export async function pythonTensorflow(asked: string, cwd: string, signal?: AbortSignal): Promise<PythonTensorflow> {
  const python = interpreterIn(asked) ?? (basename(asked) === asked ? findProgram(asked) : undefined);
  if (python === undefined) throw new UserError(message('pythonMissing', { python: asked }), message('pythonAdvice'));
  const { status, out, log } = await runProgram(python, ['-c', query], { cwd, signal, timeoutMs: queryTimeoutMs });
  let folder: string | null, prefix: string;
  try {
    ({ folder, prefix } = JSON.parse(out) as { folder: string | null; prefix: string });
  } catch {
    const reason = log.trim().split('\n').at(-1) || String(status);
    throw new UserError(message('pythonFailed', { python, reason }), message('pythonAdvice'));
  }
  if (folder === null) {
    throw new UserError(message('pythonWithoutTensorflow', { python }), message('pythonInstall', { python }));
  }
  const need = (what: string, places: readonly string[]): string => {
    const found = places.find((place) => existsSync(place));
    if (found !== undefined) return found;
    throw new UserError(
      message('pythonTensorflowLacks', { folder: folder!, file: what }),
      message(process.platform === 'win32' ? 'pythonNotOnWindows' : 'pythonUpgrade', { python }),
    );
  };
  // pip keeps the libraries in the package's folder, conda in the environment's.
  const library = (name: string) => {
    const file = process.platform === 'darwin' ? `lib${name}.2.dylib` : `lib${name}.so.2`;
    return need(file, [join(folder!, file), join(prefix, 'lib', file)]);
  };
  const libraries = [library('tensorflow_cc'), library('tensorflow_framework')] as const;
  const header = join('include', 'tensorflow', 'c', 'eager', 'c_api.h');
  need(header, [join(folder, header)]);
  return { python, folder, libraries, include: join(folder, 'include') };
}

/**
 * Interpreters worth asking where the user has named none: those of virtual environments (the activated one, and
 * `environments`), then those on the PATH.
 */
export function pythonCandidates(environments: readonly string[] = []): string[] {
  const { VIRTUAL_ENV, CONDA_PREFIX } = process.env;
  const folders = [VIRTUAL_ENV, CONDA_PREFIX, ...environments].filter((folder) => folder !== undefined);
  const found = [...folders.map(interpreterIn), findProgram('python3'), findProgram('python')];
  return [...new Set(found.filter((python) => python !== undefined))];
}

/** The interpreter at a path: itself, or that of the environment whose folder it is. */
function interpreterIn(path: string): string | undefined {
  const inside = [['bin', 'python3'], ['bin', 'python'], ['Scripts', 'python.exe'], ['python.exe']];
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  return (isFolder ? inside.map((parts) => join(path, ...parts)) : [path]).find(isProgram);
}
