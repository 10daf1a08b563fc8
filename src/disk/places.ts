/**
 * Where ConvLab keeps things: runs in the workspace, what can be made again in a cache folder, what it installs in a
 * storage folder.
 */
import * as os from 'node:os';
import * as path from 'node:path';

/** The runs folder of a workspace folder. */
export const runsFolderOf = (workspaceFolder: string): string => path.join(workspaceFolder, '.convlab', 'runs');

/** The folder for what can be made again: CONVLAB_CACHE, or the system's place for caches. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env, platform = process.platform): string {
  if (env['CONVLAB_CACHE']) return path.resolve(env['CONVLAB_CACHE']);
  const home = os.homedir();
  if (platform === 'win32') {
    return path.join(env['LOCALAPPDATA'] || path.join(home, 'AppData', 'Local'), 'ConvLab', 'Cache');
  }
  if (platform === 'darwin') return path.join(home, 'Library', 'Caches', 'ConvLab');
  return path.join(env['XDG_CACHE_HOME'] || path.join(home, '.cache'), 'convlab');
}

/**
 * ConvLab's own folder for what it installs. The editor names the extension's in CONVLAB_STORAGE; the terminal has one for
 * each user, where the system keeps such data.
 */
export function storageFolder(env: NodeJS.ProcessEnv = process.env): string {
  const asked = env['CONVLAB_STORAGE'];
  if (asked) return asked;
  const home = os.homedir();
  if (process.platform === 'win32') {
    return path.join(env['LOCALAPPDATA'] ?? path.join(home, 'AppData', 'Local'), 'convlab');
  }
  if (process.platform === 'darwin') return path.join(home, 'Library', 'Application Support', 'convlab');
  const data = env['XDG_DATA_HOME'];
  return path.join(data && path.isAbsolute(data) ? data : path.join(home, '.local', 'share'), 'convlab');
}

/**
 * A path as the system compares it: on Windows neither case nor the kind of slash counts.
 * @param name an absolute path
 */
export function comparable(name: string, platform = process.platform): string {
  if (platform !== 'win32') return path.posix.resolve(name);
  return path.win32.resolve(name).toLowerCase();
}

/** Whether a path names something inside a folder. Both are absolute. */
export function isInside(name: string, folder: string, platform = process.platform): boolean {
  const { relative, isAbsolute, sep } = platform === 'win32' ? path.win32 : path.posix;
  const way = relative(comparable(folder, platform), comparable(name, platform));
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}
