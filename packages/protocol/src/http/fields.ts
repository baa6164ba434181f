import { base64 as base64Codec } from '@scure/base';
import { z } from 'zod';
import type { DeviceId, Hash, KeyId, MandateRef, PackId, ServerId, SnapshotId, VaultId } from '../ids.ts';

const hex = <T extends string>(digits: number, description: string) =>
  z
    .string()
    .regex(new RegExp(`^[0-9a-f]{${digits}}$`), `${digits} lower-case hex digits`)
    .transform((value) => value as T)
    .meta({ description, override: { type: 'string', pattern: `^[0-9a-f]{${digits}}$` } });

export const vaultIdField = hex<VaultId>(32, 'Id of the vault');
export const deviceIdField = hex<DeviceId>(32, 'Id of a device');
export const mandateRefField = hex<MandateRef>(32, 'Pseudonym of a mandate');
export const serverIdField = hex<ServerId>(32, 'Id of this server');
export const packIdField = hex<PackId>(64, 'SHA-256 of a pack');
export const snapshotIdField = hex<SnapshotId>(64, 'SHA-256 of a sealed record');
export const hashField = hex<Hash>(64, 'Chain hash of an entry with its receipt');
export const keyIdField = hex<KeyId>(16, 'Id of a receipt key');

/** The last digit may carry bits that no byte uses: they must be zero. */
function isCanonical(text: string): boolean {
  return Buffer.from(text, 'base64').toString('base64') === text;
}

/** Bytes as padded base64, of a length within bounds. */
export const base64 = (minBytes: number, maxBytes: number, description: string) =>
  z
    .base64()
    .min(Math.ceil(minBytes / 3) * 4)
    .max(Math.ceil(maxBytes / 3) * 4)
    .refine(isCanonical, { message: 'not canonical base64', abort: true })
    .transform((text): Uint8Array => base64Codec.decode(text))
    .refine((bytes) => bytes.length >= minBytes && bytes.length <= maxBytes, `${minBytes} to ${maxBytes} bytes`)
    .meta({ description, override: { type: 'string', format: 'byte' } });

export const dateField = z.iso.date().meta({ description: 'Calendar date in Europe/Zurich', example: '2050-12-31' });
export const timeField = z.int().min(0).meta({ description: 'Milliseconds since 1970', example: 1_795_507_200_000 });
export const countField = z.int().min(0);
export const numberField = z.string().min(1).max(40).meta({ description: 'Subscriber number', example: '100234' });
