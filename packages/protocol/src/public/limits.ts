/** Limits of SPEC 18 on what is sent outside packs, in bytes or pieces. */
export const MAX_HEADER_BYTES = 4096;
export const MAX_ENTRY_BYTES = 4096;
/** A sealed record is the largest attachment. */
export const MAX_ATTACHMENT_BYTES = 4 * 1024 * 1024;
export const MAX_PACKS_PER_SNAPSHOT = 65_536;
export const MAX_EARLIER_ROOTS = 16;
export const SHARE_BYTES = 32;
/** An entry, its pack ids, its attachment and a share, each with its length. */
export const MAX_REQUEST_BYTES =
  MAX_ENTRY_BYTES + MAX_PACKS_PER_SNAPSHOT * 32 + MAX_ATTACHMENT_BYTES + SHARE_BYTES + 4 * 4;
export const PACK_GRANULE_BYTES = 256 * 1024;
export const MAX_PACK_BYTES = 17 * 1024 * 1024;
export const MAX_MANDATE_NAME_CHARACTERS = 20;
export const MAX_COMMENT_CHARACTERS = 2000;
export const MAX_DEVICE_NAME_CHARACTERS = 100;
