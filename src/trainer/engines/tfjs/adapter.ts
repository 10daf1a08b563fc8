/**
 * Asks Dawn which graphics processor it would use, in a process of its own: drivers can hang or crash what loads them, and
 * the question is put before any engine has been chosen. Used by webgpuProvider.ts.
 */
import { execFile, ExecFileException } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { freemem, totalmem } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Message, message } from '../../../core/messages/message';
import { findProgram } from '../../programs';
import { crashOf, cureOf, dawnNeeds, reasonOf } from '../nativeCode';

/** An adapter as WebGPU's GPUAdapterInfo describes it. */
export interface Adapter {
  /** 'nvidia', 'amd', 'intel', 'apple', …; 'google' for SwiftShader. */
  readonly vendor: string;
  readonly architecture: string;
  /** Name of the device, in small letters and hyphens. */
  readonly device: string;
  /** Name and version of the driver, as far as it tells. */
  readonly description: string;
  readonly isFallbackAdapter: boolean;
}

/** What the search came to: an adapter, or why there is none and what would change it. */
export type Search =
  { readonly adapter: Adapter } | { readonly adapter?: undefined; readonly reason: Message; readonly action?: Message };

/**
 * Whether the adapter computes on the processor. Dawn marks the software renderers that it knows (SwiftShader, WARP); Mesa's
 * and any other are told by their names.
 */
export function isSoftware({ isFallbackAdapter, architecture, device, description }: Adapter): boolean {
  const software = /swiftshader|llvmpipe|lavapipe|softpipe|basic[- ]render|\bwarp\b|software/i;
  return isFallbackAdapter || software.test(`${architecture} ${device} ${description}`);
}

/** The adapter's name for people: that of the device, or where the driver hides it the vendor's, and the driver's. */
export function describeAdapter({ vendor, architecture, device, description }: Adapter): string {
  const name = device.replace(/^-+|-+$/g, '') || [vendor, architecture].filter(Boolean).join(' ') || 'GPU';
  return [name, description].filter(Boolean).join(', ');
}

/**
 * The child process: prints the adapter as JSON, or null, and then opens a device on it and reads a buffer, which may fail.
 * Dawn would keep it alive, so it exits by itself.
 */
const script = `
import(process.argv[1]).then(async ({ create, globals }) => {
  const adapter = await create([]).requestAdapter({ powerPreference: 'high-performance' });
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter?.info ?? {};
  const found = adapter ? { vendor, architecture, device, description, isFallbackAdapter } : null;
  await new Promise((done) => process.stdout.write(JSON.stringify(found), done));
  if (adapter) {
    const gpu = await adapter.requestDevice();
    const { MAP_READ, COPY_DST } = globals.GPUBufferUsage;
    const buffer = gpu.createBuffer({ size: 4, usage: MAP_READ | COPY_DST });
    await buffer.mapAsync(globals.GPUMapMode.READ);
    if (new Float32Array(buffer.getMappedRange())[0] !== 0) throw new Error('a new buffer is not empty');
  }
  process.exit(0);
}).catch((error) => {
  process.stderr.write(String(error?.message ?? error), () => process.exit(1));
});`;

/** The first start of a graphics driver may take seconds; one that hangs must not hold up the other engines for long. */
const patienceMs = 15_000;

const searches = new Map<string, Promise<Search>>();

/** The programs that can ask Dawn; other than this one and what the PATH has only in tests. */
export interface Nodes {
  /** The one that trains. */
  readonly execPath: string;
  /** Whether that is Electron told to behave as Node, as in desktop VS Code. */
  readonly electron: boolean;
  /** A Node.js of its own, as convlab.node could name it. */
  other(): string | undefined;
}

const nodesHere = (): Nodes => ({
  execPath: process.execPath,
  electron: process.versions['electron'] !== undefined,
  other: () => findProgram('node'),
});

/**
 * The adapter that Dawn prefers. The answer is kept for as long as this process lives.
 * @param index URL of the index.js of the package `webgpu`
 */
export function searchAdapter(index: string, timeoutMs = patienceMs, nodes = nodesHere()): Promise<Search> {
  const key = `${nodes.execPath} ${index}`;
  let search = searches.get(key);
  if (!search) searches.set(key, (search = searchBy(nodes, index, timeoutMs)));
  return search;
}

async function searchBy(nodes: Nodes, index: string, timeoutMs: number): Promise<Search> {
  const answer = await askDawn(nodes.execPath, index, timeoutMs);
  if (!nodes.electron || answer.adapter || answer.found === 'nothing') return answer;
  // Electron forbids memory that JavaScript sees and did not allocate, which is how Dawn hands over a buffer; and Dawn for
  // Windows asks for a node.exe, which Code.exe is not. Whether a Node.js of its own helps is tried before it is advised.
  const reason = message(answer.found === 'adapter' ? 'webgpuElectron' : 'webgpuElectronLoad');
  const path = nodes.other();
  if (path === undefined || !(await isRecent(path))) return { reason, action: message('setNode') };
  const there = await askDawn(path, index, timeoutMs);
  if (there.adapter) return { reason, action: message('setNodeTo', { path }) };
  return { reason: there.reason, action: there.action };
}

/** Whether it is a Node.js that trainers run on. */
async function isRecent(node: string): Promise<boolean> {
  try {
    const { stdout } = await promisify(execFile)(node, ['--version'], { timeout: 5000, windowsHide: true });
    return Number(/^v(\d+)/.exec(stdout)?.[1]) >= 20;
  } catch {
    return false;
  }
}

/** How far a search came that gave no adapter to compute on: an adapter that cannot be read from, none at all, or nowhere. */
type Answer = Search & { readonly found?: 'adapter' | 'nothing' };

async function askDawn(node: string, index: string, timeoutMs: number): Promise<Answer> {
  try {
    const { stdout, stderr } = await promisify(execFile)(node, ['--eval', script, index], {
      // In VS Code, Node is Electron told to behave as Node.
      env: { ...process.env, ELECTRON_RUN_AS_NODE: '1' },
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
      windowsHide: true,
    });
    const adapter = JSON.parse(stdout) as Adapter | null;
    return adapter ? { adapter } : { ...noAdapter(stderr), found: 'nothing' };
  } catch (error) {
    const { killed, signal, code, stdout, stderr } = error as ExecFileException & { stdout?: string; stderr?: string };
    if (killed) {
      return { reason: message('webgpuSearchHangs', { seconds: timeoutMs / 1000 }), action: message('updateDriver') };
    }
    const found = stdout ? ('adapter' as const) : undefined;
    const crash = crashOf(signal ?? code);
    // The error's own message is the command, and with it the whole script.
    const said = reasonOf(stderr ?? '') || (crash === undefined ? `exit status ${code}` : '');
    if (crash !== undefined) {
      const reason = said
        ? message('webgpuSearchCrashes', { signal: crash, reason: said })
        : message('webgpuSearchCrashesSilently', { how: crash });
      return { reason, action: message('updateDriver'), found };
    }
    return { reason: message('webgpuNotLoaded', { reason: said }), action: cureOf(dawnNeeds), found };
  }
}

/** Dawn writes down why a graphics API could not be used, and goes on to the next. */
function noAdapter(log: string): Search {
  if (process.platform !== 'linux') return { reason: message('webgpuNoAdapter'), action: message('updateDriver') };
  const loader = /libvulkan\.so\.1: cannot open/.test(log);
  return {
    reason: message(loader ? 'webgpuNoVulkan' : 'webgpuNoAdapter'),
    action: message(loader ? 'installVulkan' : 'installVulkanDriver'),
  };
}

/**
 * Bytes that training may fill on this adapter. WebGPU does not tell, so the driver or the system is asked; a quarter is
 * left to the library's pool of buffers and to the screen. Where nobody knows: 4 GB, which today's GPUs have.
 */
export async function usableMemory(adapter: Adapter): Promise<number> {
  if (isSoftware(adapter)) return 0.75 * freemem();
  return 0.75 * ((await videoMemory(adapter.vendor)) ?? 4 * 2 ** 30);
}

async function videoMemory(vendor: string): Promise<number | undefined> {
  // These share the main memory with the processor.
  if (vendor === 'apple' || vendor === 'intel') return totalmem() / 2;
  try {
    if (vendor === 'nvidia') {
      // By its whole path: a bare name could be a program of the workspace.
      const program = findProgram('nvidia-smi');
      if (program === undefined) return undefined;
      const query = ['--query-gpu=memory.free', '--format=csv,noheader,nounits'];
      const { stdout } = await promisify(execFile)(program, query, { timeout: 5000, windowsHide: true });
      const sizes = stdout.trim().split('\n').map(Number);
      return sizes.every(Number.isFinite) ? Math.max(...sizes) * 2 ** 20 : undefined;
    }
    if (vendor === 'amd' && process.platform === 'linux') {
      const root = '/sys/class/drm';
      const size = (card: string) => Number(readFileSync(join(root, card, 'device/mem_info_vram_total'), 'utf8'));
      return Math.max(...readdirSync(root).filter((name) => /^card\d+$/.test(name)).map(size)); // prettier-ignore
    }
  } catch {
    // Not told.
  }
  return undefined;
}
