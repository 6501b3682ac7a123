/** A hub double and an empty machine around it: folders of its own for cache, settings and data. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type HubEnvironment, hubEnvironment } from '../../../src/hub/environment.js';
import { type PullOptions, pullModel } from '../../../src/hub/pull.js';
import type { ModelSettings } from '../../../src/hub/settings.js';
import { HubDouble } from './hub-double.js';

export const noSettings: ModelSettings = { aliases: {}, drafters: {} };

export class Workspace implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'paceline-hub-'));
  readonly hub: HubDouble;

  constructor(hub: HubDouble) {
    this.hub = hub;
  }

  static async open(): Promise<Workspace> {
    return new Workspace(await HubDouble.start());
  }

  /** Variables that make a program use this machine and no other. */
  get variables(): Record<string, string> {
    return {
      HF_ENDPOINT: this.hub.url,
      HF_HOME: join(this.folder, 'hf'),
      XDG_CONFIG_HOME: join(this.folder, 'config'),
      XDG_DATA_HOME: join(this.folder, 'data'),
      OLLAMA_MODELS: join(this.folder, 'ollama'),
      HOME: this.folder,
      HF_TOKEN: '',
      HF_HUB_CACHE: '',
      HF_HUB_OFFLINE: '',
      HTTP_PROXY: '',
      HTTPS_PROXY: '',
      NO_PROXY: '',
    };
  }

  get settingsPath(): string {
    return join(this.folder, 'models.json');
  }

  environment(more: Readonly<Record<string, string>> = {}): HubEnvironment {
    return hubEnvironment({ ...this.variables, ...more }, this.folder);
  }

  /** Where the repository `acme/widget-GGUF` is in the cache. */
  get repository(): string {
    return join(this.folder, 'hf', 'hub', 'models--acme--widget-GGUF');
  }

  /** Pulls in this process, without pauses between tries. */
  pull(name: string, more: Partial<PullOptions> = {}): ReturnType<typeof pullModel> {
    return pullModel(name, {
      environment: this.environment(),
      settingsPath: this.settingsPath,
      room: { total: 16 * 2 ** 30 },
      http: { pauseMs: 1, silenceMs: 2000 },
      ...more,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.hub[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Takes whatever drafters are offered. */
export const allDrafters: NonNullable<PullOptions['accept']> = async ({ offered }) => offered;
