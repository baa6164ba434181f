import { EntitySchema } from 'typeorm';

/** One line of the access log. Rows are only ever added; triggers refuse the rest. */
export interface AuditRow {
  id: number;
  /** ms since 1970. */
  at: number;
  /** `device:<id>`, `operator:<name>` or `server`. */
  actor: string;
  number: string | null;
  operation: string;
  /** The agent's run, or the hour for agents that name none; null for single actions. */
  run: string | null;
  outcome: string;
  /** JSON: what was done, without secrets. */
  facts: string;
}

export const AuditEntity = new EntitySchema<AuditRow>({
  name: 'Audit',
  tableName: 'audit',
  columns: {
    id: { type: 'integer', primary: true, generated: 'increment' },
    at: { type: 'bigint', transformer: { to: (value: unknown) => value, from: (value: unknown) => Number(value) } },
    actor: { type: 'varchar' },
    number: { type: 'varchar', length: 12, nullable: true },
    operation: { type: 'varchar' },
    run: { type: 'varchar', nullable: true },
    outcome: { type: 'varchar' },
    facts: { type: 'text' },
  },
});
