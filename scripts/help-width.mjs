// Stands in for string-width in the agent's bundle. yargs lays out its help with it on each run, asked for or not, and
// loading it (Intl.Segmenter, tables of emoji) takes 60 ms; our help is Latin script in all its languages.
import { stripVTControlCharacters } from 'node:util';

/** How many columns a text takes. */
export default function stringWidth(text) {
  return Array.from(stripVTControlCharacters(text).normalize('NFC')).length;
}
