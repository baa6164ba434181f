import { describe, expect, it } from '@jest/globals';
import { createLog } from './log.ts';

function logged(write: (log: ReturnType<typeof createLog>) => void): string {
  let text = '';
  const log = createLog({ level: 'trace' }, { write: (line) => (text = text.concat(line)) });
  write(log);
  return text;
}

describe('TN-47 the log', () => {
  it('never shows fields that hold secrets, however deep', () => {
    const secret = 'hunter2';
    const text = logged((log) => {
      log.info({ authorization: secret, req: { headers: { authorization: secret, cookie: secret } } }, 'x');
      log.info({ body: { code: secret, token: secret, share: secret, enrolmentCode: secret, signature: secret } }, 'x');
    });
    expect(text).not.toContain(secret);
    expect(text.match(/\[redacted\]/g)).toHaveLength(8);
  });
  it('shows of an error what it is and why, not what hangs on it', () => {
    const cause = Object.assign(new Error('disk'), { code: 'EIO', parameters: ['hunter2'] });
    const error = Object.assign(new Error('query failed', { cause }), { query: 'SELECT', parameters: ['hunter2'] });
    const text = logged((log) => log.error({ err: error }, 'failed'));
    expect(text).not.toContain('hunter2');
    expect(JSON.parse(text).err).toMatchObject({
      message: 'query failed',
      cause: { message: 'disk', errorCode: 'EIO' },
    });
  });
  it('TN-46 keeps one line a message, whatever a name contains', () => {
    const text = logged((log) => log.info({ name: 'PC\r\n{"level":60}\u001b[31m' }, 'enrolled\nforged'));
    expect(text.trimEnd().split('\n')).toHaveLength(1);
    expect(text).not.toContain('\u001b');
  });
});
