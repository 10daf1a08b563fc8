/**
 * ConvLab's settings, read when they are needed and checked, and the folders that follow from them: where new runs go
 * and where the sidebar looks for runs.
 */
import * as os from 'node:os';
import * as path from 'node:path';
import * as vscode from 'vscode';
import { DatasetName, Experiment, Overrides, Preset, ResolvedExperiment, resolveExperiment } from '../core/experiment';
import { message, UserError } from '../core/messages/message';
import { engineNames } from '../core/contracts/events';
import { EngineRequest } from '../core/contracts/tasks';
import { runsFolderOf } from '../disk/places';
import { t } from './localize';

const section = 'convlab';
const setting = <T>(name: string): T | undefined => vscode.workspace.getConfiguration(section).get<T>(name);

/** Whether the setting that changed is `name`. */
export const affects = (event: vscode.ConfigurationChangeEvent, name: string): boolean =>
  event.affectsConfiguration(`${section}.${name}`);

/** Which preset to train; 'ask' where the user is to choose. */
export const presetSetting = (): Preset | 'ask' => oneOf('preset', ['ask', 'course', 'quick'], 'ask');

export const resumeAfterReload = (): 'always' | 'ask' | 'never' =>
  oneOf('resumeAfterReload', ['always', 'ask', 'never'], 'always');

export const engineSetting = (): EngineRequest => oneOf('engine', ['auto', ...engineNames], 'auto');

/** CPU threads; undefined for as many as there are physical cores. */
export const threadsSetting = (): number | undefined => wholeNumber('threads', 1024);

/** The Node.js program that trainers run with; undefined for the one that VS Code brings. */
export const nodeSetting = (): string | undefined => setting<string>('node')?.trim() || undefined;

/** The Python whose TensorFlow is set up: an interpreter, its name, or an environment's folder; undefined to search. */
export function tensorflowPythonSetting(): string | undefined {
  const python = setting<string>('tensorflowPython')?.trim();
  if (!python) return undefined;
  // A bare name is looked for on the search path.
  return /[\\/]/.test(python) ? absolute('tensorflowPython', python, undefined) : python;
}

/** Makes an engine the one that trains, in every window of this user. */
export const trainWith = (engine: EngineRequest): Thenable<void> =>
  vscode.workspace.getConfiguration(section).update('engine', engine, vscode.ConfigurationTarget.Global);

/**
 * An experiment as a new run trains it under the settings that shorten runs: `epochs` takes the place of the preset's,
 * `limit` caps its examples, so that a preset with fewer keeps them.
 * @throws UserError where the settings do not fit
 */
export function resolveWithSettings(
  experiment: Experiment,
  preset: Preset,
  overrides: Overrides = {},
): ResolvedExperiment {
  const epochs = wholeNumber('epochs', 10_000);
  const limit = wholeNumber('limit', 1e9);
  const all = { ...(epochs && { epochs }), ...overrides };
  const resolved = resolveExperiment(experiment, preset, all);
  if (!limit || (resolved.limit !== undefined && resolved.limit <= limit)) return resolved;
  return resolveExperiment(experiment, preset, { ...all, limit });
}

const dataFolderSettings: Partial<Record<DatasetName, string>> = { mnist: 'mnistFolder', 'cat-dog': 'catDogFolder' };

/** The user's own folder for a dataset. @throws UserError where the setting is no usable path */
export function dataFolderFor(dataset: DatasetName): string | undefined {
  const name = dataFolderSettings[dataset];
  const folder = name === undefined ? undefined : setting<string>(name)?.trim();
  return name !== undefined && folder ? absolute(name, folder, workspaceFolders()[0]) : undefined;
}

/** Whether a setting that changed names a dataset's folder. */
export const affectsDataFolders = (event: vscode.ConfigurationChangeEvent): boolean =>
  Object.values(dataFolderSettings).some((name) => affects(event, name));

/** Makes this the folder of cats and dogs: in the workspace, or where none is open, everywhere. */
export async function setCatDogFolder(folder: string): Promise<void> {
  const { ConfigurationTarget } = vscode;
  const target = vscode.workspace.workspaceFolders ? ConfigurationTarget.Workspace : ConfigurationTarget.Global;
  await vscode.workspace.getConfiguration(section).update(dataFolderSettings['cat-dog']!, folder, target);
}

/** The user's own copies of torchvision's weights. */
export function weightsFolderSetting(): string | undefined {
  const folder = setting<string>('weightsFolder')?.trim();
  return folder ? absolute('weightsFolder', folder, workspaceFolders()[0]) : undefined;
}

/** Certificates go unchecked, in the words of Node, and of npm, which does not ask Node. */
const anyCertificate = { NODE_TLS_REJECT_UNAUTHORIZED: '0', npm_config_strict_ssl: 'false' };

/**
 * The editor's proxy settings as the variables that programs know them by, for a trainer that downloads. Empty where the
 * editor has none: the trainer then goes by the environment, as the editor does.
 */
export function proxyEnvironment(): Record<string, string> {
  const http = vscode.workspace.getConfiguration('http');
  if (http.get<string>('proxySupport') === 'off') return {};
  // The editor heeds it for every connection, whether the proxy is its own or the environment's.
  const unchecked = http.get<boolean>('proxyStrictSSL') === false ? anyCertificate : {};
  const proxy = http.get<string>('proxy')?.trim();
  if (!proxy) return unchecked;
  const without = http.get<readonly string[]>('noProxy') ?? [];
  // Small letters too, which win where the environment has both.
  const pairs = [
    ['HTTP_PROXY', proxy],
    ['HTTPS_PROXY', proxy],
    ...(without.length > 0 ? [['NO_PROXY', without.join(',')]] : []),
  ] as [string, string][];
  const proxies = pairs.flatMap(([name, value]) => [
    [name, value],
    [name.toLowerCase(), value],
  ]);
  return { ...unchecked, ...Object.fromEntries(proxies) };
}

/** The runs folder for new runs. @throws UserError where the setting is no usable path */
export function newRunsFolder(globalStorage: vscode.Uri): string {
  const folders = workspaceFolders();
  for (const folder of folders) {
    const asked = askedRunsFolder(folder);
    if (asked) return asked;
  }
  const asked = folders.length === 0 ? askedRunsFolder(undefined) : undefined;
  return asked ?? (folders[0] ? runsFolderOf(folders[0]) : globalRunsFolder(globalStorage));
}

/** Every runs folder whose runs are shown: the one for new runs first. Unusable settings are passed over. */
export function runsFolders(globalStorage: vscode.Uri): string[] {
  const folders = workspaceFolders();
  let first: string[] = [];
  try {
    first = [newRunsFolder(globalStorage)];
  } catch {
    // Starting a run says what is wrong with the setting.
  }
  const others = folders.length > 0 ? folders.map(runsFolderOf) : [globalRunsFolder(globalStorage)];
  return [...new Set([...first, ...others])];
}

const globalRunsFolder = (globalStorage: vscode.Uri): string => path.join(globalStorage.fsPath, 'runs');

/** Folders on disk; those of a virtual workspace have no path that a trainer could write to. */
export function workspaceFolders(): string[] {
  const folders = vscode.workspace.workspaceFolders ?? [];
  return folders.filter((f) => f.uri.scheme === 'file').map((f) => f.uri.fsPath);
}

function askedRunsFolder(workspaceFolder: string | undefined): string | undefined {
  const scope = workspaceFolder === undefined ? undefined : vscode.Uri.file(workspaceFolder);
  const asked = vscode.workspace.getConfiguration(section, scope).get<string>('runsFolder')?.trim();
  return asked ? absolute('runsFolder', asked, workspaceFolder) : undefined;
}

/** A path as settings name it: '~' is the home folder, relative ones start at the workspace folder. */
function absolute(name: string, value: string, workspaceFolder: string | undefined): string {
  if (/^~(?=$|[\\/])/.test(value)) return path.join(os.homedir(), value.slice(1));
  if (path.isAbsolute(value)) return path.normalize(value);
  if (workspaceFolder !== undefined) return path.resolve(workspaceFolder, value);
  throw invalid(name, t(message('settingNotAbsolute', { value })));
}

/** 0, the default, means "not set". */
function wholeNumber(name: string, most: number): number | undefined {
  const value = setting<unknown>(name) ?? 0;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > most) {
    throw invalid(name, t(message('settingNotWhole', { most, value: JSON.stringify(value) })));
  }
  return value === 0 ? undefined : value;
}

function oneOf<T extends string>(name: string, known: readonly T[], fallback: T): T {
  const value = setting<unknown>(name) ?? fallback;
  const found = known.find((k) => k === value);
  if (found !== undefined) return found;
  throw invalid(name, t(message('expectedOneOf', { known: known.join(', ') })));
}

const invalid = (name: string, problems: string) =>
  new UserError(message('settingInvalid', { setting: `${section}.${name}`, problems }));
