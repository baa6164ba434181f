/**
 * The agent as a library: the same engine that the commands drive, for tests of the whole that would need a process for
 * each of hundreds of cases otherwise. Everything a front end needs goes through here; the rest stays inside.
 */
export { openCopy } from './copies/open-copy.ts';
export { AgentError, type AgentErrorKind } from './errors.ts';
export { loadConfig, readToken } from './local/config.ts';
export { type Home, homeAt } from './local/home.ts';
export { recallRoot } from './local/keyring.ts';
export { type Lock, takeLock } from './local/lock.ts';
export { type CheckResult, checkPoints } from './points/check.ts';
export { openPoints, type PointInfo, type Points } from './points/store.ts';
export type { RestoreOptions, RestoreResult } from './restore/options.ts';
export { restore, restoreExitCode } from './restore/restore.ts';
export { type VaultSourceOptions, vaultSource } from './restore/vault-source.ts';
export { HttpRemote } from './vault/http-remote.ts';
export { unlock } from './vault/unlock.ts';
export { openVault, type Vault, type Warning } from './vault/vault.ts';
