/** What registry.ts uses of npm's own libraries, which come without types. */
declare module 'npm-registry-fetch' {
  export interface RegistryResponse {
    readonly status: number;
    readonly headers: { get(name: string): string | null };
    /** Emits an error when the connection breaks. */
    readonly body: AsyncIterable<Buffer> & NodeJS.EventEmitter & { destroy(error?: Error): void };
  }
  /** @param target a path below the registry, or a whole address */
  export default function registryFetch(
    target: string,
    options: Readonly<Record<string, unknown>>,
  ): Promise<RegistryResponse>;
}

declare module '@npmcli/config' {
  export default class Config {
    constructor(options: Readonly<Record<string, unknown>>);
    load(): Promise<void>;
    /** Every setting under the name that npm's libraries take it by. */
    readonly flat: Readonly<Record<string, unknown>> & {
      readonly registry: string;
      readonly replaceRegistryHost: string;
    };
  }
}

declare module '@npmcli/config/lib/definitions' {
  export const definitions: unknown;
  export const shorthands: unknown;
  export const flatten: unknown;
}
