import {
  AttemptEntity,
  CodeEntity,
  DeviceEntity,
  ElevationEntity,
  MetaEntity,
  SubscriberEntity,
} from '../accounts/entities.ts';
import { AuditEntity } from '../audit/entity.ts';
import {
  ChallengeEntity,
  EntryEntity,
  HeaderEntity,
  LostFrameEntity,
  MandateEntity,
  PackEntity,
  ScrubCursorEntity,
  SnapshotEntity,
  VaultEntity,
} from '../vaults/entities.ts';
import { Accounts1764000000000 } from './migrations/1764000000000-accounts.ts';
import { Vaults1764000001000 } from './migrations/1764000001000-vaults.ts';
import { Counts1764000001500 } from './migrations/1764000001500-counts.ts';
import { Life1764000002000 } from './migrations/1764000002000-life.ts';
import { Scrub1764000003000 } from './migrations/1764000003000-scrub.ts';
import type { DbSchema } from './schema.ts';

/** Every table of the server, and every migration in its order. */
export const SCHEMA: DbSchema = {
  entities: [
    SubscriberEntity,
    DeviceEntity,
    CodeEntity,
    ElevationEntity,
    AttemptEntity,
    MetaEntity,
    AuditEntity,
    VaultEntity,
    PackEntity,
    EntryEntity,
    SnapshotEntity,
    HeaderEntity,
    MandateEntity,
    ChallengeEntity,
    LostFrameEntity,
    ScrubCursorEntity,
  ] as unknown as DbSchema['entities'],
  migrations: [Accounts1764000000000, Vaults1764000001000, Counts1764000001500, Life1764000002000, Scrub1764000003000],
};
