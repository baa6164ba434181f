// Makes the golden vault of a released format version: `node tests/vectors/make-vault.ts vault-v1`. Run once for each
// version, kept for ever (F-46); it refuses to touch one that is there.
import { cpSync, existsSync, mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { kitOnPage } from '../support/kit.ts';
import { World } from '../support/world.ts';

const GOLDEN_SECRET = 'un secret d’exemple, publié';

const name = process.argv[2] ?? '';
const dir = join(import.meta.dirname, name);
if (!/^vault-v\d+$/.test(name) || existsSync(dir))
  throw new Error(`usage: make-vault.ts vault-v<n>, a new one (${name})`);

await using world = await World.create();
const subscriber = await world.server.addSubscriber({
  name: 'Exemple SA',
  email: 'exemple@example.ch',
  expires: '2099-12-31',
});
const computer = await world.connected(subscriber.enrolmentCode, { secret: GOLDEN_SECRET });
const books = world.path('mandate');
mkdirSync(join(books, 'documents'), { recursive: true });
writeFileSync(join(books, 'livre.cre'), 'Grand livre\n'.repeat(3000));
writeFileSync(join(books, 'documents', 'reçu.txt'), 'Reçu no 1\n');
writeFileSync(join(books, 'rien'), '');
for (const path of ['livre.cre', 'documents/reçu.txt', 'rien', 'documents'])
  utimesSync(join(books, path), 1_790_000_000, 1_790_000_000);
await computer.json(['mandate', 'add', 'Exemple', '--path', books]);
const first = await computer.send('Exemple', '--comment', 'premier');
cpSync(books, join(dir, 'mandate-1'), { recursive: true });
writeFileSync(join(books, 'documents', 'reçu.txt'), 'Reçu no 1, corrigé\n');
const second = await computer.send('Exemple', '--comment', 'second');
cpSync(books, join(dir, 'mandate-2'), { recursive: true });
const page = join(dir, 'kit.html');
await computer.refused(['kit', 'create', page]);
const code = kitOnPage(page);
await computer.json(['kit', 'create', page, '--typed-back', code]);
await world.server.stop(); // leaves the database whole in one file
cpSync(world.server.dataDir, join(dir, 'server'), { recursive: true });
cpSync(`${world.server.dataDir}.keys.json`, join(dir, 'server.keys.json'));
for (const left of ['safe.sqlite-wal', 'safe.sqlite-shm', 'blobs/tmp'])
  rmSync(join(dir, 'server', left), { recursive: true, force: true });
const facts = { number: subscriber.number, secret: GOLDEN_SECRET, snapshots: [first.id, second.id] };
writeFileSync(join(dir, 'vault.json'), `${JSON.stringify(facts, null, 2)}\n`);
