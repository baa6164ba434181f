import { expect, test } from '@jest/globals';
import { brief, calendarText, countText, durationText, momentText, sizeText, table, visible } from './text.ts';

test('MS-41: control and formatting characters from outside are shown, not obeyed', () => {
  expect(visible('a\u001b[31mred\r\nb\u0007')).toBe('a\\x1b[31mred\\x0d\\x0ab\\x07');
  expect(visible('gauche\u202edroite\u200b')).toBe('gauche\\u{202e}droite\\u{200b}');
  expect(visible('\u2028\ud800')).toBe('\\u{2028}\\u{d800}');
  expect(visible('Éléonore 😀')).toBe('Éléonore 😀');
});

test('long text from outside is cut by code points', () => {
  expect(brief('😀'.repeat(10), 4)).toBe('😀😀😀…');
  expect(brief('court', 5)).toBe('court');
});

test.each([
  [0, '0 octets', '0 bytes'],
  [999, '999 octets', '999 bytes'],
  [1000, '1,0 Ko', '1.0 KB'],
  [3_700_000, '3,7 Mo', '3.7 MB'],
  [264_000_000, '264 Mo', '264 MB'],
  [999_960_000, '1,0 Go', '1.0 GB'],
  [50_000_000_000, '50,0 Go', '50.0 GB'],
])('%d bytes are %s', (bytes, french, english) => {
  const plain = (text: string): string => text.replace('\u00a0', ' ');
  expect(plain(sizeText(bytes, 'fr'))).toBe(french);
  expect(plain(sizeText(bytes, 'en'))).toBe(english);
});

test('Italian has the comma, Swiss German the point', () => {
  expect(sizeText(3_700_000, 'it')).toBe('3,7\u00a0MB');
  expect(sizeText(3_700_000, 'de')).toBe('3.7\u00a0MB');
});

test.each([
  [800, '0,8 s'],
  [9_960, '10 s'],
  [59_400, '59 s'],
  [185_000, '3 min 05 s'],
  [7_440_000, '2 h 04 min'],
])('%d ms are %s', (ms, text) => {
  expect(durationText(ms, 'fr').replaceAll('\u00a0', ' ')).toBe(text);
});

test('dates are Swiss, with the hour of Zurich in summer and winter', () => {
  expect(momentText(Date.UTC(2026, 10, 24, 13, 5))).toBe('24.11.2026 14:05');
  expect(momentText(Date.UTC(2026, 6, 1, 22, 30))).toBe('02.07.2026 00:30');
  expect(calendarText('2050-12-31')).toBe('31.12.2050');
  expect(calendarText('demain\u001b')).toBe('demain\\x1b');
});

test('counts have Swiss separators, columns line up', () => {
  expect(countText(1_234_567)).toBe("1'234'567");
  expect(
    table(
      [
        ['a', '1', 'x'],
        ['long', '22', ''],
      ],
      [1],
    ),
  ).toEqual(['a      1  x', 'long  22']);
});
