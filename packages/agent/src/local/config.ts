import { join } from 'node:path';
import { asDeviceId, asKeyId, asServerId, type DeviceId, type ReceiptKey, type ServerId } from '@cresus-safe/protocol';
import { AgentError } from '../errors.ts';
import { readIfThere, readJson, removeDurable, writeDurable, writeJson } from './files.ts';
import type { Home } from './home.ts';
import { type Shape, shape } from './shape.ts';

/** What `connect` wrote: which server, who we are there, and the keys pinned at the first contact. */
export interface Config {
  readonly version: 1;
  readonly server: {
    readonly url: string;
    readonly serverId: ServerId;
    readonly receiptKeys: readonly ReceiptKey[];
  };
  readonly number: string;
  readonly deviceId: DeviceId;
  readonly deviceName: string;
  readonly lang?: string | undefined;
  /** Where versions before `mandates-root.json` kept it. */
  readonly mandatesRoot?: string | undefined;
  readonly vaultId?: string | undefined;
  /** Folder of the vault in a copy of the bucket, where that takes the server's place (`kit use --store`): only read. */
  readonly store?: string | undefined;
}

/**
 * The configuration of a connected computer.
 * @throws AgentError `usage` when this computer is not connected, or when the file is damaged
 */
export function loadConfig(home: Home): Config {
  const read = readJson(home.config, checkConfig);
  if (read.found) return read.value;
  if (read.damaged === undefined)
    throw new AgentError('usage', 'this computer is not connected', {
      key: 'error.not-connected',
      hint: 'hint.not-connected',
    });
  throw new AgentError('usage', `config.json is damaged: ${read.damaged}`, {
    key: 'error.config-damaged',
    hint: 'hint.config-damaged',
    params: { path: home.config, reason: read.damaged },
  });
}

/** The configuration, or undefined when this computer is not connected (or its file is damaged). */
export function findConfig(home: Home): Config | undefined {
  const read = readJson(home.config, checkConfig);
  return read.found ? read.value : undefined;
}

/** Writes the configuration durably. */
export function saveConfig(home: Home, config: Config): void {
  writeJson(home.config, config);
}

const mandatesRootFile = (home: Home): string => join(home.dir, 'mandates-root.json');

/** The folder that `mandate root` chose; it needs no connection, so it is not of the configuration that `connect` writes. */
export function chosenMandatesRoot(home: Home): string | undefined {
  const read = readJson(mandatesRootFile(home), (value) => shape(value).text('path'));
  return read.found ? read.value : findConfig(home)?.mandatesRoot;
}

/** Keeps the folder in which restored mandates are created (an absolute path). */
export function keepMandatesRoot(home: Home, path: string): void {
  writeJson(mandatesRootFile(home), { version: 1, path });
}

/** The device token that `connect` received, or undefined. */
export function readToken(home: Home): string | undefined {
  return readIfThere(home.token)?.toString('utf8').trim() || undefined;
}

/** Keeps the device token (0600). */
export function saveToken(home: Home, token: string): void {
  writeDurable(home.token, `${token}\n`);
}

/** Forgets the device token. */
export function forgetToken(home: Home): void {
  removeDurable(home.token);
}

function checkConfig(value: unknown): Config {
  const fields = shape(value);
  if (fields.integer('version') !== 1) throw new TypeError('version is not 1');
  const server = fields.object('server');
  return {
    version: 1,
    server: {
      url: server.text('url'),
      serverId: asServerId(server.text('serverId')),
      receiptKeys: server.list('receiptKeys', (item) => checkKey(shape(item, 'receiptKeys'))),
    },
    number: fields.text('number'),
    deviceId: asDeviceId(fields.text('deviceId')),
    deviceName: fields.text('deviceName'),
    lang: fields.optionalText('lang'),
    mandatesRoot: fields.optionalText('mandatesRoot'),
    vaultId: fields.optionalText('vaultId'),
    store: fields.optionalText('store'),
  };
}

function checkKey(key: Shape): ReceiptKey {
  const endorsedBy = key.optionalText('endorsedBy');
  return {
    keyId: asKeyId(key.text('keyId')),
    publicKey: key.text('publicKey'),
    endorsedBy: endorsedBy === undefined ? null : asKeyId(endorsedBy),
    endorsement: key.optionalText('endorsement') ?? null,
  };
}
