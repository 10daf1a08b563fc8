/** Why native code does not load or crashes, as it is told, and what is advised. */
import { describe, expect, it } from 'vitest';
import { english } from '../../src/core/messages/message';
import { crashOf, cureOf, dawnNeeds, macosOf, onnxRuntimeNeeds, reasonOf } from '../../src/trainer/engines/nativeCode';

describe('the reason of a loader', () => {
  it.each([
    [
      'The specified module could not be found.\r\n\\\\?\\C:\\Users\\王 小明\\x.node',
      'The specified module could not be found',
    ],
    [
      '\\\\?\\C:\\Program Files\\a b\\dawn.node is not a valid Win32 application.\r\n',
      'dawn.node is not a valid Win32 application',
    ],
    [
      '/home/me/x y/libonnxruntime.so.1: version `GLIBC_2.38’ not found',
      'libonnxruntime.so.1: version `GLIBC_2.38’ not found',
    ],
    ['dlopen(/a/b.dylib, 0x1): Symbol not found: _x', 'dlopen(b.dylib, 0x1): Symbol not found: _x'],
    ['cannot use a/b and 1/2', 'cannot use a/b and 1/2'],
    ['', ''],
  ])('%j is %j', (said, reason) => {
    expect(reasonOf(new Error(said))).toBe(reason);
  });
});

it('tells a crash from an end, on Windows by its status', () => {
  expect(crashOf(3221225477)).toBe('exit status 3221225477');
  expect(crashOf('SIGSEGV')).toBe('SIGSEGV');
  for (const end of [0, 1, 255, 'timeout', 'ENOENT', null, undefined]) expect(crashOf(end)).toBeUndefined();
});

describe('what cures it', () => {
  const cure = (needs: typeof dawnNeeds, platform: string, arch: string, release: string) => {
    const found = cureOf(needs, { platform, arch, release });
    return found && english(found);
  };

  it('is the VC++ runtime of the machine’s kind on Windows, which Dawn is not linked to', () => {
    expect(cure(onnxRuntimeNeeds, 'win32', 'x64', '10.0.19045')).toContain('vc_redist.x64.exe');
    expect(cure(onnxRuntimeNeeds, 'win32', 'arm64', '10.0.19045')).toContain('vc_redist.arm64.exe');
    expect(cure(dawnNeeds, 'win32', 'x64', '10.0.19045')).toBeUndefined();
  });

  it('is on macOS a newer one where it is too old', () => {
    expect(['20.6.0', '22.6.0', '23.0.0', '24.5.0', '25.0.0'].map(macosOf)).toEqual([11, 13, 14, 15, 26]);
    expect(cure(onnxRuntimeNeeds, 'darwin', 'arm64', '22.6.0')).toBe(
      'ONNX Runtime is built for macOS 14 or newer, and this is macOS 13.',
    );
    expect(cure(dawnNeeds, 'darwin', 'arm64', '24.5.0')).toContain('macOS 26 or newer, and this is macOS 15');
    expect(cure(onnxRuntimeNeeds, 'darwin', 'arm64', '23.0.0')).toBeUndefined();
  });
});
