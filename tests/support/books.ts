import { createCipheriv, createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { zipOf } from './zip.ts';

/** Size of a fresh mandate; 1 is about 264 MB: 900,000 journal entries, 4,000 invoices, 300 documents. */
export interface BooksSize {
  readonly scale?: number;
}

const WORDS =
  `facture paiement client fournisseur loyer salaire charge TVA banque caisse achat vente honoraires assurance
leasing bureau internet transport repas frais divers acompte solde rabais escompte note avoir`.split(/\s+/);

/** Numbers and bytes that depend on the seed alone: AES-128 in counter mode over zeros. */
class Dice {
  readonly #stream: ReturnType<typeof createCipheriv>;
  #pool: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(seed: string) {
    const key = createHash('sha256').update(seed).digest().subarray(0, 16);
    this.#stream = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  }

  bytes(length: number): Buffer {
    return this.#stream.update(Buffer.alloc(length));
  }

  /** A whole number from 0 to below `limit`. */
  below(limit: number): number {
    if (this.#at + 4 > this.#pool.length) {
      this.#pool = this.bytes(64 * 1024);
      this.#at = 0;
    }
    const drawn = this.#pool.readUInt32LE(this.#at);
    this.#at += 4;
    return Math.floor((drawn / 2 ** 32) * limit);
  }

  between(from: number, below: number): number {
    return from + this.below(below - from);
  }

  francs(below: number): number {
    return this.below(below * 100) / 100;
  }

  words(count: number): string {
    let text = '';
    for (let n = 0; n < count; n++) text += `${n > 0 ? ' ' : ''}${WORDS[this.below(WORDS.length)]}`;
    return text;
  }
}

/**
 * Makes a mandate that looks like real books in the new folder `dir`: `comptabilite.cre` and `facturation.fac`
 * (SQLite files, which change in place), `salaires.salx` (a ZIP, written anew at each save) and `documents/*.pdf`.
 * The same arguments make the same bytes, on the same SQLite.
 */
export function makeBooks(dir: string, { scale = 1 }: BooksSize = {}): void {
  if (existsSync(dir)) throw new Error(`${dir} exists already`);
  mkdirSync(join(dir, 'documents'), { recursive: true });
  const dice = new Dice('books');
  withDatabase(join(dir, 'comptabilite.cre'), (db) => {
    db.exec(`create table ecritures(id integer primary key, date int, debit int, credit int, montant real, libelle text, piece text);
      create index compte on ecritures(debit, date); create index piece on ecritures(piece);`);
    addEntries(db, dice, 0, Math.trunc(900_000 * scale));
  });
  withDatabase(join(dir, 'facturation.fac'), (db) => {
    db.exec(`create table factures(id integer primary key, client int, date int, total real, corps text, pdf blob);
      create index client on factures(client, date);`);
    addInvoices(db, dice, 0, Math.trunc(4_000 * scale));
  });
  writePayroll(dir, scale, 0);
  addDocuments(dir, dice, Math.trunc(300 * scale));
}

/** One more working day: 200 journal entries and 50 corrections, 15 invoices, 20 payments, 5 documents, the payroll. */
export function workOneDay(dir: string, day: number, { scale = 1 }: BooksSize = {}): void {
  const dice = new Dice(`day ${day}`);
  withDatabase(join(dir, 'comptabilite.cre'), (db) => {
    const first = nextId(db, 'ecritures');
    const correct = db.prepare('update ecritures set montant = ?, libelle = ? where id = ?');
    for (let n = 0; n < 50; n++) correct.run(dice.francs(1_000), dice.words(5), dice.below(first));
    addEntries(db, dice, first, 200);
  });
  withDatabase(join(dir, 'facturation.fac'), (db) => {
    const first = nextId(db, 'factures');
    const pay = db.prepare('update factures set total = ? where id = ?');
    for (let n = 0; n < 20; n++) pay.run(dice.francs(1_000), dice.below(first));
    addInvoices(db, dice, first, 15);
  });
  writePayroll(dir, scale, day);
  addDocuments(dir, dice, 5);
}

/** `count` small files (10 to 4,000 bytes, most of them different) in folders of 500, as in a folder of vouchers. */
export function makeSmallFiles(dir: string, count: number): void {
  const dice = new Dice('small files');
  for (let first = 0; first < count; first += 500) {
    const folder = join(dir, `lot-${String(first / 500).padStart(4, '0')}`);
    mkdirSync(folder, { recursive: true });
    for (let n = first; n < Math.min(first + 500, count); n++)
      writeFileSync(join(folder, `piece-${String(n).padStart(6, '0')}.txt`), dice.words(dice.between(2, 500)));
  }
}

function withDatabase(file: string, work: (db: DatabaseSync) => void): void {
  const db = new DatabaseSync(file);
  try {
    db.exec('pragma page_size = 4096; pragma synchronous = off; pragma cache_size = -400000; begin');
    work(db);
    db.exec('commit');
  } finally {
    db.close();
  }
}

function nextId(db: DatabaseSync, table: 'ecritures' | 'factures'): number {
  return Number(db.prepare(`select max(id) + 1 as next from ${table}`).get()?.['next'] ?? 0);
}

function addEntries(db: DatabaseSync, dice: Dice, first: number, count: number): void {
  const insert = db.prepare('insert into ecritures values (?, ?, ?, ?, ?, ?, ?)');
  for (let n = first; n < first + count; n++) {
    const [debit, credit] = [dice.between(1_000, 9_999), dice.between(1_000, 9_999)];
    const text = dice.words(dice.between(3, 10));
    const piece = `P${String(dice.below(999_999)).padStart(6, '0')}`;
    insert.run(n, 20_200_101 + dice.below(60_000), debit, credit, dice.francs(10_000), text, piece);
  }
}

function addInvoices(db: DatabaseSync, dice: Dice, first: number, count: number): void {
  const insert = db.prepare('insert into factures values (?, ?, ?, ?, ?, ?)');
  for (let n = first; n < first + count; n++) {
    const pdf = dice.bytes(dice.between(8_000, 30_000));
    insert.run(n, dice.below(2_000), 20_200_101 + dice.below(60_000), dice.francs(5_000), dice.words(200), pdf);
  }
}

function writePayroll(dir: string, scale: number, day: number): void {
  const dice = new Dice('payroll');
  const rows: string[] = [];
  for (let employee = 0; employee < Math.trunc(200 * scale) + 1; employee++)
    for (let month = 1; month < 60; month++)
      rows.push(
        `<salaire employe="${employee}" mois="${month}" brut="${dice.francs(9_000)}" net="${dice.francs(7_000)}"/>\n`,
      );
  rows.push(`<dernier jour="${day}"/>`);
  writeFileSync(join(dir, 'salaires.salx'), zipOf('salaires.xml', Buffer.from(rows.join(''))));
}

function addDocuments(dir: string, dice: Dice, count: number): void {
  const folder = join(dir, 'documents');
  const first = readdirSync(folder).length;
  for (let n = first; n < first + count; n++) {
    const content = Buffer.concat([Buffer.from('%PDF-1.4\n'), dice.bytes(dice.between(50_000, 500_000))]);
    writeFileSync(join(folder, `piece-${String(n).padStart(5, '0')}.pdf`), content);
  }
}
