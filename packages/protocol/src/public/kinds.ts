export type AttachmentType = 'none' | 'header' | 'record' | 'plan' | 'replacement' | 'live-set' | 'lost-history';

interface KindRules {
  readonly code: number;
  readonly attachment: AttachmentType;
  /** Belongs to one mandate: its mandateRef is not zero. */
  readonly mandate: boolean;
  /** May list packs. */
  readonly packs: boolean;
}

/** The table of SPEC 6. */
export const ENTRY_KINDS = {
  'vault-create': { code: 1, attachment: 'header', mandate: false, packs: false },
  'snapshot-add': { code: 2, attachment: 'record', mandate: true, packs: true },
  'snapshot-forget': { code: 3, attachment: 'none', mandate: true, packs: false },
  'snapshot-unforget': { code: 4, attachment: 'none', mandate: true, packs: false },
  'year-closed': { code: 5, attachment: 'none', mandate: true, packs: false },
  'slot-change': { code: 6, attachment: 'header', mandate: false, packs: false },
  generation: { code: 7, attachment: 'header', mandate: false, packs: false },
  plan: { code: 8, attachment: 'plan', mandate: false, packs: false },
  'pack-replaced': { code: 9, attachment: 'replacement', mandate: true, packs: true },
  checkpoint: { code: 10, attachment: 'live-set', mandate: false, packs: false },
  'rollback-accepted': { code: 11, attachment: 'lost-history', mandate: false, packs: false },
} as const satisfies Record<string, KindRules>;

export type EntryKind = keyof typeof ENTRY_KINDS;

const BY_CODE = new Map<number, EntryKind>(
  (Object.keys(ENTRY_KINDS) as EntryKind[]).map((kind) => [ENTRY_KINDS[kind].code, kind]),
);

export function kindOfCode(code: number): EntryKind | undefined {
  return BY_CODE.get(code);
}

export function attachmentOf(kind: EntryKind): AttachmentType {
  return ENTRY_KINDS[kind].attachment;
}
