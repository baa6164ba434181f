import { z } from 'zod';
import { MAX_HEADER_BYTES, SHARE_BYTES } from '../public/limits.ts';
import { RECEIPT_BYTES } from '../public/receipt.ts';
import {
  base64,
  countField,
  dateField,
  deviceIdField,
  hashField,
  keyIdField,
  numberField,
  packIdField,
  serverIdField,
  timeField,
  vaultIdField,
} from './fields.ts';

// responses are loose: an older agent ignores what a newer server adds

export const SUBSCRIPTION_STATES = [
  'active',
  'grace',
  'read-only',
  'closing',
  'closed',
  'archive',
  'suspended',
] as const;

export const headField = z
  .looseObject({ seq: z.int().min(1), hash: hashField })
  .meta({ id: 'Head', description: 'Newest entry of the journal; its chain hash' });

export const subscriptionField = z
  .looseObject({
    expiresOn: dateField,
    state: z.enum(SUBSCRIPTION_STATES),
    graceUntil: dateField,
    readOnlyUntil: dateField,
    maySend: z.boolean(),
    mayRestore: z.boolean(),
  })
  .meta({ id: 'Subscription', description: 'State of the subscription; dates are inclusive' });

export const receiptKeyField = z
  .looseObject({
    keyId: keyIdField,
    publicKey: z.string().regex(/^[0-9a-f]{64}$/),
    endorsedBy: keyIdField.nullable(),
    endorsement: z
      .string()
      .regex(/^[0-9a-f]{128}$/)
      .nullable(),
  })
  .meta({ id: 'ReceiptKey', description: 'Ed25519 key for receipts, endorsed by the one before it' });

const receiptKeysField = z.array(receiptKeyField).min(1).max(1000);
const vaultStateField = z.enum(['none', 'exists']).meta({ description: 'Whether this subscriber has a vault' });
const deviceStateField = z.enum(['pending', 'active', 'revoked']);

export const enrolResponse = z
  .looseObject({
    deviceId: deviceIdField,
    token: z
      .string()
      .regex(/^[A-Za-z0-9_-]{43,128}$/)
      .meta({ description: 'Bearer token; shown only here' }),
    number: numberField,
    serverId: serverIdField,
    receiptKeys: receiptKeysField,
    subscription: subscriptionField,
    vault: vaultStateField,
  })
  .meta({ id: 'Enrolment' });

export const accountResponse = z
  .looseObject({
    number: numberField,
    name: z.string().max(200),
    lang: z.enum(['fr', 'de', 'it', 'en']),
    deviceId: deviceIdField,
    deviceState: deviceStateField,
    subscription: subscriptionField,
    quota: z.looseObject({
      bytes: countField,
      usedBytes: countField,
      objects: countField,
      usedObjects: countField,
    }),
    serverTime: timeField,
    serverId: serverIdField,
    receiptKeys: receiptKeysField,
    vault: vaultStateField,
    head: headField.nullable(),
    retentionDays: countField,
    damagedSnapshots: countField
      .optional()
      .meta({ description: 'Snapshots, not forgotten, that name such a pack or lost their record' }),
    damagedPacks: countField
      .optional()
      .meta({ description: 'Packs that the server lost or found rotten, and that are not replaced yet' }),
    plan: z.looseObject({ allDays: countField, weeklyDays: countField, monthlyDays: countField }),
  })
  .meta({ id: 'Account' });

export const vaultResponse = z
  .looseObject({
    vaultId: vaultIdField,
    header: base64(1, MAX_HEADER_BYTES, 'Current header'),
    share: base64(SHARE_BYTES, SHARE_BYTES, 'Server share of the secret slot'),
    challenge: base64(32, 32, 'To be signed as proof; single use, 10 minutes'),
    head: headField.nullable(),
  })
  .meta({ id: 'Vault' });

export const deviceField = z
  .looseObject({
    deviceId: deviceIdField,
    name: z.string().max(400),
    state: deviceStateField,
    createdAt: timeField,
    lastSeenAt: timeField.nullable(),
    current: z.boolean().meta({ description: 'The device that asks' }),
  })
  .meta({ id: 'Device' });

export const devicesResponse = z.looseObject({ devices: z.array(deviceField).max(10_000) }).meta({ id: 'Devices' });

export const elevationResponse = z
  .looseObject({ right: z.literal('forget'), until: timeField })
  .meta({ id: 'Elevation', description: 'A right that this computer has for some minutes' });

export const keepResponse = z.looseObject({ missing: z.array(packIdField) }).meta({ id: 'KeepResult' });

export const damagedResponse = z
  .looseObject({
    packs: z
      .array(z.looseObject({ packId: packIdField, damagedSince: timeField }))
      .meta({ description: 'Ascending by packId; an empty page is the last' }),
    lostRecords: z
      .array(z.int().min(1))
      .meta({ description: 'seq of snapshots whose record is lost: `POST /v1/journal/heal` takes them back' }),
  })
  .meta({ id: 'DamagedPacks' });

export const appendResponse = z
  .looseObject({ seq: z.int().min(1), receipt: base64(RECEIPT_BYTES, RECEIPT_BYTES, 'Signed receipt') })
  .meta({ id: 'Appended' });

export const healResponse = z.looseObject({ head: headField.nullable() }).meta({ id: 'Healed' });

export const proofResponse = z.looseObject({ state: deviceStateField }).meta({ id: 'Proved' });

/** Parsed answers, as an agent uses them (bytes decoded) … */
export type Head = z.output<typeof headField>;
export type Subscription = z.output<typeof subscriptionField>;
export type SubscriptionState = (typeof SUBSCRIPTION_STATES)[number];
export type Enrolment = z.output<typeof enrolResponse>;
export type AccountResponse = z.output<typeof accountResponse>;
export type VaultResponse = z.output<typeof vaultResponse>;
export type DeviceResponse = z.output<typeof deviceField>;
/** … and as a server writes them (bytes in base64). */
export type EnrolmentBody = z.input<typeof enrolResponse>;
export type AccountBody = z.input<typeof accountResponse>;
export type VaultBody = z.input<typeof vaultResponse>;
export type DeviceBody = z.input<typeof deviceField>;
export type DamagedBody = z.input<typeof damagedResponse>;
export type AppendBody = z.input<typeof appendResponse>;
