import { z } from 'zod';
import { MAX_DEVICE_NAME_CHARACTERS } from '../public/limits.ts';
import { base64, deviceIdField, mandateRefField, packIdField, snapshotIdField } from './fields.ts';
import { MAX_JOURNAL_PAGE, MAX_KEEP_IDS, MAX_SEEN_REFS } from './routes.ts';

// requests are strict: an unknown field is refused, so that a misspelled one is never silently ignored

const CONTROL_OR_UNASSIGNED = /[\p{Cc}\p{Cs}\p{Cn}]/u;

const deviceNameField = z
  .string()
  .trim()
  .min(1)
  .refine((name) => [...name].length <= MAX_DEVICE_NAME_CHARACTERS, 'at most 100 characters')
  .refine((name) => !CONTROL_OR_UNASSIGNED.test(name), 'no control characters')
  .meta({
    description: 'How people know the computer',
    example: 'PC Comptabilité',
    override: { type: 'string', maxLength: 100 },
  });

export const enrolRequest = z
  .strictObject({
    code: z.string().min(1).max(100).meta({ description: 'Single-use code', example: 'K7QD-M2XW-9F4T-HHCA' }),
    name: deviceNameField,
  })
  .meta({ id: 'EnrolRequest', description: 'Enrols a computer with a single-use code' });

export const proofRequest = z
  .strictObject({
    signature: base64(64, 64, 'Ed25519 over cresus-safe/1/proof, 00, vaultId, deviceId and the challenge'),
  })
  .meta({ id: 'ProofRequest', description: 'Proof that the device holds the vault key' });

export const elevationRequest = z
  .strictObject({
    code: z.string().min(1).max(100).optional().meta({ description: 'Single-use code; absent: have one mailed' }),
  })
  .meta({ id: 'ElevationRequest', description: 'Asks for the right to forget, or for a code that gives it' });

export const seenRequest = z
  .strictObject({ mandateRefs: z.array(mandateRefField).min(1).max(MAX_SEEN_REFS) })
  .meta({ id: 'SeenRequest', description: 'Mandates in which nothing changed' });

export const keepRequest = z
  .strictObject({ packIds: z.array(packIdField).min(1).max(MAX_KEEP_IDS) })
  .meta({ id: 'KeepRequest', description: 'Packs whose grace is to be renewed' });

const queryNumber = (max: number) =>
  z
    .string()
    .regex(/^(?:0|[1-9][0-9]{0,15})$/, 'a whole number')
    .transform(Number)
    .refine((value) => value <= max, `at most ${max}`)
    .meta({ override: { type: 'integer', minimum: 0 } });

export const journalQuery = z
  .strictObject({
    after: queryNumber(Number.MAX_SAFE_INTEGER).optional(),
    limit: queryNumber(MAX_JOURNAL_PAGE)
      .refine((value) => value >= 1, 'at least 1')
      .optional(),
  })
  .meta({ description: 'Entries with a seq greater than `after` (default 0), at most `limit` (default 500)' });

export const damagedQuery = z
  .strictObject({ after: packIdField.optional() })
  .meta({ description: 'Damaged packs whose id is greater than `after`' });

export const deviceParams = z.strictObject({ deviceId: deviceIdField });
export const packParams = z.strictObject({ packId: packIdField });
export const recordParams = z.strictObject({ snapshotId: snapshotIdField });

export type EnrolRequest = z.input<typeof enrolRequest>;
export type ElevationRequest = z.input<typeof elevationRequest>;
export type SeenRequest = z.input<typeof seenRequest>;
export type KeepRequest = z.input<typeof keepRequest>;
export type ProofRequest = z.input<typeof proofRequest>;
