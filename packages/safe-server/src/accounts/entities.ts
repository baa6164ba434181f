import { EntitySchema, type EntitySchemaColumnOptions } from 'typeorm';

/** A 53-bit number: PostgreSQL hands such columns out as text. */
const integer: EntitySchemaColumnOptions = {
  type: 'bigint',
  transformer: { to: (value: unknown) => value, from: (value: unknown) => (value === null ? null : Number(value)) },
};

export type Language = 'fr' | 'de' | 'it' | 'en';

/** Who pays, and until when. Dates are `YYYY-MM-DD` in Europe/Zurich, times ms since 1970. */
export interface Subscriber {
  number: string;
  name: string;
  email: string;
  language: Language;
  /** The last day of the subscription, inclusive. */
  expiresOn: string;
  quotaBytes: number;
  /** Holds instead of `quotaBytes` through the day `quotaUntil`; both or neither. */
  temporaryQuotaBytes: number | null;
  quotaUntil: string | null;
  suspended: boolean;
  /** The day of the dated deletion notice; null: none was sent, so nothing closes. */
  noticeSentOn: string | null;
  createdAt: number;
  /** Number of the last change; the sealed object `a/<number>/<version>` holds it. */
  version: number;
  /** The last version whose object is known to be in the bucket. */
  mirrored: number;
}

/** A computer that may talk to the server for its subscriber. */
export interface DeviceRow {
  deviceId: string;
  number: string;
  name: string;
  /** SHA-256 of the token, hex. The token itself is nowhere. */
  tokenHash: string;
  state: 'pending' | 'active';
  /** Comma-separated rights. */
  rights: string;
  createdAt: number;
  lastSeenAt: number | null;
  revokedAt: number | null;
  version: number;
  mirrored: number;
}

/** What a code is good for: a new computer, or minutes of the right `forget`. */
export type CodePurpose = 'enrol' | 'forget';

/** Until when a device has the right `forget`, ms since 1970. */
export interface ElevationRow {
  deviceId: string;
  untilTime: number;
}

/** A single-use code, as its hash. */
export interface CodeRow {
  codeHash: string;
  number: string;
  purpose: CodePurpose;
  createdAt: number;
  expiresAt: number;
  usedAt: number | null;
}

/** Failed guesses of one source in one window of time. */
export interface AttemptRow {
  source: string;
  window: number;
  count: number;
}

/** Facts of the installation: `server.id`, `keys.confirmed`. */
export interface MetaRow {
  name: string;
  value: string;
}

export const SubscriberEntity = new EntitySchema<Subscriber>({
  name: 'Subscriber',
  tableName: 'subscriber',
  columns: {
    number: { type: 'varchar', length: 12, primary: true },
    name: { type: 'varchar' },
    email: { type: 'varchar' },
    language: { type: 'varchar', length: 2 },
    expiresOn: { type: 'varchar', length: 10, name: 'expires_on' },
    quotaBytes: { ...integer, name: 'quota_bytes' },
    temporaryQuotaBytes: { ...integer, name: 'temporary_quota_bytes', nullable: true },
    quotaUntil: { type: 'varchar', length: 10, name: 'quota_until', nullable: true },
    suspended: { type: 'boolean' },
    noticeSentOn: { type: 'varchar', length: 10, name: 'notice_sent_on', nullable: true },
    createdAt: { ...integer, name: 'created_at' },
    version: { type: 'integer' },
    mirrored: { type: 'integer' },
  },
});

export const DeviceEntity = new EntitySchema<DeviceRow>({
  name: 'Device',
  tableName: 'device',
  columns: {
    deviceId: { type: 'varchar', length: 32, primary: true, name: 'device_id' },
    number: { type: 'varchar', length: 12 },
    name: { type: 'varchar' },
    tokenHash: { type: 'varchar', length: 64, name: 'token_hash', unique: true },
    state: { type: 'varchar', length: 8 },
    rights: { type: 'varchar' },
    createdAt: { ...integer, name: 'created_at' },
    lastSeenAt: { ...integer, name: 'last_seen_at', nullable: true },
    revokedAt: { ...integer, name: 'revoked_at', nullable: true },
    version: { type: 'integer' },
    mirrored: { type: 'integer' },
  },
});

export const CodeEntity = new EntitySchema<CodeRow>({
  name: 'Code',
  tableName: 'code',
  columns: {
    codeHash: { type: 'varchar', length: 64, primary: true, name: 'code_hash' },
    number: { type: 'varchar', length: 12 },
    purpose: { type: 'varchar', length: 8 },
    createdAt: { ...integer, name: 'created_at' },
    expiresAt: { ...integer, name: 'expires_at' },
    usedAt: { ...integer, name: 'used_at', nullable: true },
  },
});

export const ElevationEntity = new EntitySchema<ElevationRow>({
  name: 'Elevation',
  tableName: 'elevation',
  columns: {
    deviceId: { type: 'varchar', length: 32, primary: true, name: 'device_id' },
    untilTime: { ...integer, name: 'until_time' },
  },
});

export const AttemptEntity = new EntitySchema<AttemptRow>({
  name: 'Attempt',
  tableName: 'attempt',
  columns: {
    source: { type: 'varchar', primary: true },
    window: { ...integer, primary: true, name: 'window_start' },
    count: { type: 'integer' },
  },
});

export const MetaEntity = new EntitySchema<MetaRow>({
  name: 'Meta',
  tableName: 'meta',
  columns: { name: { type: 'varchar', primary: true }, value: { type: 'text' } },
});
