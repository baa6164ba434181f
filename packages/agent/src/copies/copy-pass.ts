import { AgentError } from '../errors.ts';
import { crashPoint } from '../local/crash.ts';
import { makeAgeHeader } from './age-header.ts';
import { AgeSink } from './age-payload.ts';
import { BLOCK_BYTES } from './blocks.ts';
import type { FileSink } from './byte-sink.ts';
import type { CopySource, SourceFile, SourceNode, SourcePass } from './copy-source.ts';
import {
  type CopyProblem,
  FILES,
  MANIFEST,
  type ManifestHead,
  manifestText,
  type TreeFile,
  type TreeNode,
} from './manifest.ts';
import { type PreparedFile, prepareFile, ZipWriter } from './zip-writer.ts';

export interface CopyProgress {
  readonly phase: 'write' | 'verify';
  readonly files: number;
  /** Plain bytes written and read back; each counts half, so that it ends at `totalBytes`. */
  readonly bytes: number;
  readonly totalBytes: number;
}

export interface WriteCopyOptions {
  readonly source: CopySource;
  /** A file, whose extension may be missing, or a folder. */
  readonly file: string;
  readonly overwrite: boolean;
  readonly comment?: string | undefined;
  /** Encrypts the copy (age v1, passphrase). */
  readonly password?: string | undefined;
  /** What one guess of the password costs (scrypt, log2 N); default that of `age -p`. Less is for tests. */
  readonly workFactor?: number | undefined;
  readonly agentVersion: string;
  readonly now: () => number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (progress: CopyProgress) => void;
}

export interface WrittenCopy {
  /** Absolute. */
  readonly file: string;
  /** Size and SHA-256 of the file itself. */
  readonly bytes: number;
  readonly sha256: string;
  /** Files and folders of the mandate in it. */
  readonly entries: number;
  readonly files: number;
  readonly plainBytes: number;
  readonly createdAt: number;
  readonly comment: string;
  readonly encrypted: boolean;
  /** What the copy does not hold. */
  readonly problems: readonly CopyProblem[];
  readonly durationMs: number;
}

/** What a pass wrote. */
export type Written = Omit<WrittenCopy, 'file' | 'durationMs'>;

/** Small files that are compressed while the next ones are read. */
const PREPARED_AT_ONCE = 8;

/** One pass over a source into one file; `run` throws SourceChanged when it is void. */
export class CopyPass {
  readonly #options: WriteCopyOptions;
  readonly #pass: SourcePass;
  readonly #sink: FileSink;
  readonly #done = new Map<string, TreeFile>();
  readonly #problems: CopyProblem[];
  readonly #totalBytes: number;
  #bytes = 0;

  constructor(options: WriteCopyOptions, pass: SourcePass, sink: FileSink) {
    this.#options = options;
    this.#pass = pass;
    this.#sink = sink;
    this.#problems = [...pass.problems];
    this.#totalBytes = pass.files.reduce((sum, { size }) => sum + size, 0);
  }

  async run(): Promise<Written> {
    const { source, password, workFactor } = this.#options;
    const body =
      password === undefined ? this.#sink : await AgeSink.begin(this.#sink, await makeAgeHeader(password, workFactor));
    const zip = new ZipWriter(body);
    for (const { type, path, mtime, mode } of this.#pass.nodes)
      if (type === 'folder') await zip.folder({ name: FILES + path, mtime, mode });
    crashPoint('copy-open');
    await this.#files(zip);
    await source.end();
    const head = this.#head();
    const nodes = this.#nodes();
    const text = manifestBlocks(manifestText(head, nodes, this.#problems));
    await zip.streamed({ name: MANIFEST, mtime: head.writtenAt * 1000, mode: 0o644 }, 0, text);
    await zip.end();
    await body.end();
    const sha256 = await this.#sink.finish();
    return {
      ...{ bytes: this.#sink.bytes, sha256, entries: nodes.length, files: this.#done.size, plainBytes: this.#bytes },
      ...{ createdAt: head.createdAt, comment: head.comment, encrypted: password !== undefined },
      problems: this.#problems,
    };
  }

  async #files(zip: ZipWriter): Promise<void> {
    const ahead: { node: SourceNode; file: SourceFile; made: Promise<PreparedFile> }[] = [];
    const settle = async (leave: number): Promise<void> => {
      while (ahead.length > leave) {
        const { node, file, made } = ahead.shift() as (typeof ahead)[number];
        const prepared = await made;
        await zip.prepared(prepared);
        this.#add(node, file, prepared.sha256);
      }
    };
    for (const node of this.#pass.files) {
      if (this.#options.signal?.aborted) throw interrupted();
      const file = await this.#options.source.read(node);
      if ('code' in file) this.#problems.push(file);
      else if (file.size <= BLOCK_BYTES) {
        const made = prepareFile(factsOf(node, file), await whole(file));
        made.catch(() => undefined); // awaited by `settle`, in order
        ahead.push({ node, file, made });
        await settle(PREPARED_AT_ONCE);
      } else {
        await settle(0);
        this.#add(node, file, await zip.streamed(factsOf(node, file), file.size, this.#watched(file.blocks)), false);
      }
    }
    await settle(0);
  }

  /** Told block by block, so that one big file does not look like a halt. */
  async *#watched(blocks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const block of blocks) {
      if (this.#options.signal?.aborted) throw interrupted();
      yield block;
      this.#advance(block.length);
    }
  }

  #add({ path, sha256: known }: SourceNode, { mtime, mode, size }: SourceFile, sha256: string, isNew = true): void {
    if (known !== undefined && known !== sha256) throw damagedFile(path);
    this.#done.set(path, { type: 'file', path, size, mtime, mode, sha256 });
    if (isNew) this.#advance(size);
    crashPoint('copy-entry');
  }

  #advance(bytes: number): void {
    this.#bytes += bytes;
    const totalBytes = this.#totalBytes;
    this.#options.onProgress?.({ phase: 'write', files: this.#done.size, bytes: this.#bytes / 2, totalBytes });
  }

  #head(): ManifestHead {
    const { source, comment, agentVersion, now } = this.#options;
    const { createdAt, mandate, modules, kind, id } = source;
    const facts = { createdAt, writtenAt: now(), agentVersion, mandate, modules };
    return { ...facts, source: { kind, id }, comment: comment ?? source.comment };
  }

  /** In the order of the catalog, with the facts of what was read. */
  #nodes(): TreeNode[] {
    return this.#pass.nodes.flatMap(({ type, path, mtime, mode }): readonly TreeNode[] => {
      if (type === 'folder') return [{ type, path, mtime, mode }];
      const file = this.#done.get(path);
      return file ? [file] : [];
    });
  }
}

function factsOf({ path }: SourceNode, { mtime, mode }: SourceFile): { name: string; mtime: number; mode: number } {
  return { name: FILES + path, mtime, mode };
}

async function whole({ blocks }: SourceFile): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const block of blocks) pieces.push(block);
  return pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces);
}

async function* manifestBlocks(lines: Iterable<string>): AsyncGenerator<Buffer> {
  let text = '';
  for (const line of lines) {
    text += line;
    if (text.length < BLOCK_BYTES / 8) continue;
    yield Buffer.from(text);
    text = '';
  }
  yield Buffer.from(text);
}

/** All files or none, as for a restore over a mandate: what is still good of a damaged snapshot goes into a folder. */
function damagedFile(path: string): AgentError {
  return new AgentError('integrity', `${path} is damaged`, {
    key: 'error.copy-source-damaged',
    hint: 'hint.restore-to',
    params: { path },
    details: { files: [{ path, reason: 'damaged' }] },
  });
}

/** What a run that was stopped ends with. */
export function interrupted(): AgentError {
  return new AgentError('interrupted', 'interrupted');
}
