// How the demonstration looks: numbered steps, aligned, at most 100 columns, colour only on a terminal.
const WIDTH = 78;

/**
 * @param {{ lang: 'fr' | 'en', out: { isTTY?: boolean, write(text: string): unknown } }} options
 */
export function createScreen({ lang, out }) {
  const colours = Boolean(out.isTTY) && !process.env.NO_COLOR;
  const paint = (code, text) => (colours ? `\x1b[${code}m${text}\x1b[0m` : text);
  const line = (text = '') => out.write(`${text}\n`);
  let number = 0;
  return {
    title(text, below) {
      line();
      line(`  ${paint(1, text)}`);
      for (const row of below) line(`  ${row}`);
    },
    /** A numbered step: its heading, then whatever it says. */
    step(text) {
      number += 1;
      line();
      line(`${paint('1;34', String(number).padStart(2))}  ${paint(1, text)}`);
    },
    command(text) {
      line(`    ${paint(2, `$ ${text}`)}`);
    },
    say(text) {
      for (const row of wrapped(text, WIDTH)) line(`    ${row}`);
    },
    good(text) {
      wrapped(text, WIDTH - 2).forEach((row, at) => {
        line(`    ${at === 0 ? paint(32, '✓') : ' '} ${row}`);
      });
    },
    bad(text) {
      wrapped(text, WIDTH - 2).forEach((row, at) => {
        line(`    ${at === 0 ? paint(31, '✗') : ' '} ${row}`);
      });
    },
    quote(text) {
      for (const row of wrapped(text, WIDTH - 2)) line(`    ${paint(2, '│')} ${row}`);
    },
    /** Names on the left, values right-aligned, an optional bar. */
    table(rows) {
      const left = Math.max(...rows.map(([name]) => name.length));
      const right = Math.max(...rows.map(([, value]) => value.length));
      for (const [name, value, share] of rows) {
        const bar = share === undefined ? '' : `  ${paint(34, '█'.repeat(Math.max(1, Math.round(share * 30))))}`;
        line(`      ${name.padEnd(left)}  ${value.padStart(right)}${bar}`);
      }
    },
    rule() {
      line();
      line(`  ${paint(2, '─'.repeat(WIDTH))}`);
    },
    plain(text = '') {
      line(text === '' ? '' : `  ${text}`);
    },
    ...numbers(lang),
  };
}

function numbers(lang) {
  const locale = lang === 'fr' ? 'fr-CH' : 'en-GB';
  const units = lang === 'fr' ? ['octets', 'Ko', 'Mo', 'Go'] : ['bytes', 'KB', 'MB', 'GB'];
  const format = (value, digits) =>
    new Intl.NumberFormat(locale, { maximumFractionDigits: digits, minimumFractionDigits: digits }).format(value);
  return {
    count: (value) => format(value, 0),
    size(bytes) {
      const step = bytes < 1_000 ? 0 : bytes < 1_000_000 ? 1 : bytes < 1_000_000_000 ? 2 : 3;
      const value = bytes / 1_000 ** step;
      return `${format(value, step === 0 || value >= 100 ? 0 : 1)} ${units[step]}`;
    },
    seconds: (ms) => `${format(ms / 1_000, 1)} s`,
    percent: (share) => `${format(share * 100, share < 0.1 ? 1 : 0)} %`,
    date: (iso) => iso.split('-').reverse().join('.'),
  };
}

function wrapped(text, width) {
  const rows = [];
  let row = '';
  for (const word of text.split(' ')) {
    if (row !== '' && row.length + 1 + word.length > width) {
      rows.push(row);
      row = word;
    } else row = row === '' ? word : `${row} ${word}`;
  }
  return [...rows, row];
}
