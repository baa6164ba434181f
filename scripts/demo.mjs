// npm run demo: the whole promise on one screen, with the real programs. Exit code 0 only when every step was right.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { Agent } from '../tests/support/agent.ts';
import { makeBooks, workOneDay } from '../tests/support/books.ts';
import { differences, sizeOf } from '../tests/support/compare.ts';
import { SafeServer } from '../tests/support/server.ts';
import { createScreen } from './demo/screen.mjs';
import { texts } from './demo/texts.mjs';

const SECRET = "l'ours dort sous la neige";
const MANDATE = 'Dupont SA';

class Off extends Error {}

process.exitCode = await main();

async function main() {
  const { lang, keep, scale } = readArguments();
  const say = texts[lang];
  const screen = createScreen({ lang, out: process.stdout });
  const dir = mkdtempSync(join(tmpdir(), 'cresus-safe-demo-'));
  const server = new SafeServer(join(dir, 'safe-data'));
  const stage = { dir, server, screen, say, lang, scale };
  for (const signal of ['SIGINT', 'SIGTERM'])
    process.once(signal, () => void leave(stage).then(() => process.exit(130)));
  let failed = true;
  try {
    await play(stage);
    failed = false;
    return 0;
  } catch (error) {
    screen.bad(`${say.failed} ${error instanceof Error ? error.message : error}`);
    if (!(error instanceof Off)) console.error(error);
    return 1;
  } finally {
    if (keep || failed) await server.stop().then(() => screen.plain(say.kept({ dir })));
    else await leave(stage);
  }
}

function readArguments() {
  try {
    const { values } = parseArgs({
      options: {
        lang: { type: 'string', default: 'fr' },
        keep: { type: 'boolean', default: false },
        scale: { type: 'string', default: '0.2' }, // about 55 MB
      },
    });
    const scale = Number(values.scale);
    if (Object.hasOwn(texts, values.lang) && scale > 0) return { ...values, scale };
  } catch {
    // an unknown option gets the same answer as an unknown language
  }
  console.error(texts.fr.usage);
  process.exit(2);
}

async function leave({ server, dir }) {
  await server.stop();
  rmSync(dir, { recursive: true, force: true });
}

async function play(stage) {
  const begun = performance.now();
  const { screen, say } = stage;
  screen.title(say.title, say.intro);
  await startServer(stage);
  const subscriber = await addSubscriber(stage);
  const first = await connectFirst(stage, subscriber);
  const books = await addMandate(stage, first);
  const sentFirst = await sendFirst(stage, first);
  lookAtServer(stage);
  await workAndSendAgain(stage, first, books, sentFirst);
  const second = await restoreElsewhere(stage, subscriber, books);
  await tamper(stage, second, books);
  screen.plain();
  screen.good(say.allGood({ time: screen.seconds(performance.now() - begun) }));
  showByHand(stage);
}

async function startServer({ screen, say, server }) {
  screen.step(say.serverStarts);
  screen.command('safe-server serve');
  const begun = performance.now();
  await server.start();
  screen.good(say.serverRuns({ url: server.url, time: screen.seconds(performance.now() - begun) }));
}

async function addSubscriber({ screen, say, server }) {
  screen.step(say.subscriberAdded);
  screen.command('safe-server subscriber add --name "Menuiserie Dupont" --email … --expires 2050-12-31');
  const subscriber = await server.addSubscriber({ name: 'Menuiserie Dupont', email: 'compta@dupont.example' });
  const { number, name, expiresOn } = subscriber;
  screen.good(say.subscriber({ number, name, date: screen.date(expiresOn) }));
  screen.say(say.code);
  return subscriber;
}

async function connectFirst({ screen, say, server, dir, lang }, { enrolmentCode }) {
  screen.step(say.firstComputer);
  screen.command(`cresus-safe connect --server ${server.url} --code ${enrolmentCode}`);
  screen.command('cresus-safe secret set');
  const agent = new Agent(join(dir, 'bureau', 'agent'), { secret: SECRET, env: { LC_ALL: `${lang}_CH.UTF-8` } });
  await agent.connect(server.url, enrolmentCode, 'bureau');
  await agent.json(['secret', 'set']);
  screen.good(say.connected);
  return agent;
}

async function addMandate({ screen, say, dir, scale }, agent) {
  const books = join(dir, 'bureau', MANDATE);
  makeBooks(books, { scale });
  screen.step(say.mandate);
  screen.command(`cresus-safe mandate add "${MANDATE}" --path "~/${MANDATE}"`);
  await agent.json(['mandate', 'add', MANDATE, '--path', books]);
  const documents = join(books, 'documents');
  const rows = readdirSync(books)
    .filter((name) => name !== 'documents')
    .map((name) => [name, screen.size(statSync(join(books, name)).size)]);
  const papers = sizeOf(documents);
  screen.table([...rows, [say.documents({ count: papers.files }), screen.size(papers.bytes)]]);
  const { files, bytes } = sizeOf(books);
  screen.good(say.mandateAdded({ files: screen.count(files), size: screen.size(bytes) }));
  return books;
}

async function sendFirst({ screen, say }, agent) {
  screen.step(say.firstSend);
  screen.command(`cresus-safe send "${MANDATE}"`);
  const sent = await agent.send(MANDATE);
  const time = screen.seconds(sent.durationMs);
  screen.good(say.sent({ size: screen.size(sent.bytes), sent: screen.size(sent.sentBytes), time }));
  screen.say(say.receipt({ seq: sent.seq }));
  return sent;
}

/** Zero knowledge, the crude way: no name, no content and no key stands in anything that the server keeps or prints. */
function lookAtServer({ screen, say, server }) {
  screen.step(say.blind);
  const words = [MANDATE, 'comptabilite.cre', 'facturation.fac', 'fournisseur', '%PDF-1.4', SECRET];
  const { bytes } = sizeOf(server.dataDir);
  screen.say(say.blindSearched({ size: screen.size(bytes), words: words.slice(0, 5).join(', ') }));
  for (const word of words) {
    if (server.log.includes(word)) throw new Off(say.found({ word, file: 'log' }));
    for (const file of filesBelow(server.dataDir))
      if (readFileSync(file).includes(word)) throw new Off(say.found({ word, file: relative(server.dataDir, file) }));
  }
  screen.good(say.blindNothing);
}

async function workAndSendAgain({ screen, say, scale }, agent, books, sentFirst) {
  screen.step(say.day);
  workOneDay(books, 1, { scale });
  screen.say(say.dayWork);
  screen.command(`cresus-safe send "${MANDATE}"`);
  const sent = await agent.send(MANDATE);
  const share = sent.sentBytes / sentFirst.sentBytes;
  const percent = screen.percent(share);
  screen.good(
    say.daySent({ sent: screen.size(sent.sentBytes), share: percent, time: screen.seconds(sent.durationMs) }),
  );
  screen.table([
    [say.first, screen.size(sentFirst.sentBytes), 1],
    [say.second, screen.size(sent.sentBytes), share],
  ]);
  if (share > 0.6) throw new Off(say.tooMuch({ share: percent }));
  const again = await agent.send(MANDATE);
  if (!again.unchanged) throw new Off(say.notUnchanged);
  screen.good(say.unchanged({ time: screen.seconds(again.durationMs) }));
}

async function restoreElsewhere({ screen, say, server, dir, lang }, { number }, books) {
  screen.step(say.disaster);
  const code = await server.newCode(number);
  screen.command(`cresus-safe connect --server ${server.url} --code ${code}`);
  screen.command(`cresus-safe restore "${MANDATE}" --snapshot latest --to "~/${MANDATE}"`);
  const agent = new Agent(join(dir, 'portable', 'agent'), { secret: SECRET, env: { LC_ALL: `${lang}_CH.UTF-8` } });
  await agent.connect(server.url, code, 'portable');
  const target = join(dir, 'portable', MANDATE);
  const restored = await agent.restore(MANDATE, '--snapshot', 'latest', '--to', target);
  const { files, bytes, durationMs } = restored;
  const time = screen.seconds(durationMs);
  screen.good(say.restored({ files: screen.count(files), size: screen.size(bytes), time }));
  compare(say, books, target);
  screen.good(say.compared({ files: screen.count(sizeOf(target).files) }));
  return agent;
}

async function tamper({ screen, say, server, dir, lang }, agent, books) {
  screen.step(say.tampered);
  const pack = biggest(filesBelow(server.dataDir).filter((file) => /[\\/]p[\\/]/.test(file)));
  const flip = () => {
    const bytes = readFileSync(pack);
    const middle = bytes.length >> 1;
    bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle);
    writeFileSync(pack, bytes);
  };
  flip();
  const target = join(dir, 'portable', 'Mandats', 'Dupont bis');
  const restore = ['restore', MANDATE, '--snapshot', 'latest', '--as', 'Dupont bis'];
  screen.command(`cresus-safe restore "${MANDATE}" --snapshot latest --as "Dupont bis"`);
  const finished = await agent.run([...restore, '--lang', lang, '--no-progress']);
  if (finished.code !== 10) throw new Off(`${say.refused} (${finished.code})\n${finished.stderr}`);
  screen.good(say.tamperedCaught({ code: finished.code }));
  for (const row of finished.stderr.trim().split('\n').slice(0, 8)) screen.quote(row);
  if (sizeOf(join(dir, 'portable')).files !== sizeOf(join(dir, 'portable', MANDATE)).files + sizeOf(agent.home).files)
    throw new Off(say.wrote);
  flip();
  await agent.json(restore);
  compare(say, books, target);
  screen.good(say.repaired);
}

function compare(say, books, target) {
  const found = differences(books, target);
  if (found.length > 0) throw new Off(say.different({ list: found.slice(0, 5).join('; ') }));
}

function showByHand({ screen, say }) {
  const { comments } = say;
  screen.rule();
  screen.plain(say.byHand);
  screen.plain();
  const rows = [
    ['npx safe-server serve', comments.serve],
    ['npx safe-server subscriber add --name Dupont --email a@b.ch --expires 2050-12-31', comments.add],
    ['npx cresus-safe connect --server http://127.0.0.1:8787 --code CODE', comments.connect],
    ['npx cresus-safe secret set', comments.set],
    ['npx cresus-safe mandate add "Dupont SA" --path ~/Documents/Dupont', comments.mandate],
    ['npx cresus-safe send "Dupont SA"', comments.send],
    ['npx cresus-safe restore "Dupont SA" --snapshot latest --to /tmp/Dupont', comments.restore],
  ];
  for (const [command, comment] of rows) {
    screen.plain(`# ${comment}`);
    screen.plain(`${command}`);
  }
  screen.plain();
}

function filesBelow(dir) {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

function biggest(files) {
  const [file] = files.sort((a, b) => statSync(b).size - statSync(a).size);
  if (file === undefined) throw new Off('no pack');
  return file;
}
