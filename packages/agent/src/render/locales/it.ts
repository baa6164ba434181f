import type { Locale } from '../i18n.ts';
import { fr } from './fr.ts';

export const it: Locale = fr;
