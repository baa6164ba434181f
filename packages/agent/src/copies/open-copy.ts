import { createHash } from 'node:crypto';
import { write as writeTo } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { AgentError } from '../errors.ts';
import { eachAtOnce } from '../restore/lanes.ts';
import { looksLikeAge, openAgeHeader } from './age-header.ts';
import { AgeSource } from './age-payload.ts';
import { type ByteSource, FileSource, WindowedSource } from './byte-source.ts';
import { copyDefect, copyDiskError } from './copy-error.ts';
import { entryData, hashEntry } from './entry-data.ts';
import {
  FILES,
  MANIFEST,
  MAX_MANIFEST_BYTES,
  type Manifest,
  parseManifest,
  type TreeFile,
  type TreeNode,
} from './manifest.ts';
import { type DirectoryEntry, readDirectory } from './zip-directory.ts';

const HEADER_BYTES = 4096;
const AT_ONCE = 4;

export interface OpenCopyOptions {
  /** Asked only when the copy is encrypted. Undefined or giving undefined: an encrypted copy is refused. */
  readonly password?: string | undefined;
}

/** A copy whose manifest and names were checked; the content of each file is checked when it is read. */
export class OpenedCopy {
  readonly file: string;
  readonly encrypted: boolean;
  readonly manifest: Manifest;
  readonly #source: ByteSource;
  readonly #entries: ReadonlyMap<string, DirectoryEntry>;

  constructor(
    file: string,
    encrypted: boolean,
    source: ByteSource,
    manifest: Manifest,
    entries: ReadonlyMap<string, DirectoryEntry>,
  ) {
    this.file = file;
    this.encrypted = encrypted;
    this.manifest = manifest;
    this.#source = source;
    this.#entries = entries;
  }

  /** Files and folders in the order of a catalog. */
  get nodes(): readonly TreeNode[] {
    return this.manifest.nodes;
  }

  /**
   * Writes the content of a file: at the current place of an open descriptor, or to a new file at a path (never over one that is
   * there). May run for several files at the same time.
   * @throws AgentError `integrity` when it is not what the manifest says; what was written then is void
   */
  async extract(node: TreeFile, into: number | string): Promise<void> {
    const target = typeof into === 'number' ? undefined : await createFile(into);
    try {
      const write = target ? writerOf(target) : descriptorWriter(into as number);
      const hash = createHash('sha256');
      for await (const piece of entryData(this.#source, this.#entry(node))) {
        hash.update(piece);
        await write(piece);
      }
      if (hash.digest('hex') !== node.sha256) throw copyDefect('hash', { path: node.path });
    } catch (error) {
      throw copyDiskError(error, typeof into === 'string' ? into : node.path);
    } finally {
      await target?.close();
    }
  }

  /**
   * Reads everything and compares every hash.
   * @param advanced told how many plain bytes were read
   * @throws AgentError `integrity` for the first file that is not what the manifest says, `interrupted`
   */
  async verify(advanced: (bytes: number) => void = () => undefined, signal?: AbortSignal): Promise<void> {
    const files = this.nodes.flatMap((node) => (node.type === 'file' ? [{ node, entry: this.#entry(node) }] : []));
    files.sort((a, b) => a.entry.offset - b.entry.offset);
    await eachAtOnce(AT_ONCE, files, async ({ node, entry }) => {
      if (signal?.aborted) throw new AgentError('interrupted', 'interrupted');
      if ((await hashEntry(this.#source, entry, advanced, signal)) !== node.sha256)
        throw copyDefect('hash', { path: node.path });
    });
  }

  close(): Promise<void> {
    return this.#source.close();
  }

  #entry({ path }: TreeNode): DirectoryEntry {
    const entry = this.#entries.get(FILES + path);
    if (entry === undefined) throw copyDefect('missing', { path });
    return entry;
  }
}

/**
 * Opens a copy: the manifest and every name are checked before anything else is believed.
 * @throws AgentError `path-missing`, `permission`; `usage` (`error.copy-password-needed`) for an encrypted copy without a
 *   password, `wrong-secret` (`error.copy-password-wrong`); `integrity` with `details.defect` for what is no sound copy
 */
export async function openCopy(file: string, { password }: OpenCopyOptions = {}): Promise<OpenedCopy> {
  const sealed = await FileSource.open(file);
  try {
    const start = await sealed.read(0, Math.min(HEADER_BYTES, sealed.size));
    const encrypted = looksLikeAge(start);
    const plain = encrypted ? await AgeSource.open(sealed, await openAgeHeader(start, needed(password, file))) : sealed;
    const source = new WindowedSource(plain);
    const entries = await readDirectory(source);
    const manifest = await readManifest(source, entries);
    requireSame(manifest, entries);
    return new OpenedCopy(file, encrypted, source, manifest, entries);
  } catch (error) {
    await sealed.close();
    throw error;
  }
}

/** Whether the file at a path begins as an encrypted copy does. */
export async function isEncryptedCopy(file: string): Promise<boolean> {
  const source = await FileSource.open(file);
  try {
    return looksLikeAge(await source.read(0, Math.min(HEADER_BYTES, source.size)));
  } finally {
    await source.close();
  }
}

function needed(password: string | undefined, file: string): string {
  if (password !== undefined && password !== '') return password;
  throw new AgentError('usage', `${file} is encrypted`, {
    key: 'error.copy-password-needed',
    hint: 'hint.copy-password-needed',
    params: { path: file },
    details: { path: file },
  });
}

async function readManifest(source: ByteSource, entries: ReadonlyMap<string, DirectoryEntry>): Promise<Manifest> {
  const entry = entries.get(MANIFEST);
  if (entry === undefined) throw copyDefect('not-a-copy', { path: MANIFEST });
  if (entry.size > MAX_MANIFEST_BYTES) throw copyDefect('bomb', { path: MANIFEST });
  const pieces: Buffer[] = [];
  for await (const piece of entryData(source, entry)) pieces.push(piece);
  return parseManifest(Buffer.concat(pieces));
}

/** The files are exactly those of the manifest. Entries for its folders may be there or not: not every tool makes them. */
function requireSame({ nodes }: Manifest, entries: ReadonlyMap<string, DirectoryEntry>): void {
  const known = new Set<string>([MANIFEST, FILES]);
  for (const node of nodes) {
    const name = FILES + node.path;
    known.add(node.type === 'file' ? name : `${name}/`);
    if (node.type === 'folder') continue;
    const entry = entries.get(name);
    if (entry === undefined) throw copyDefect('missing', { path: node.path });
    if (entry.size !== node.size) throw copyDefect('size', { path: node.path });
  }
  for (const [key, { name }] of entries) if (!known.has(key)) throw copyDefect('extra', { path: name });
}

async function createFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx', 0o600);
  } catch (error) {
    throw copyDiskError(error, path);
  }
}

type Write = (piece: Buffer) => Promise<void>;

function writerOf(handle: FileHandle): Write {
  return async (piece) => {
    for (let done = 0; done < piece.length; ) done += (await handle.write(piece, done)).bytesWritten;
  };
}

function descriptorWriter(descriptor: number): Write {
  return async (piece) => {
    for (let done = 0; done < piece.length; ) done += await writeSome(descriptor, piece, done);
  };
}

function writeSome(descriptor: number, piece: Buffer, from: number): Promise<number> {
  return new Promise((resolve, reject) => {
    writeTo(descriptor, piece, from, piece.length - from, null, (error, written) =>
      error ? reject(error) : resolve(written),
    );
  });
}
