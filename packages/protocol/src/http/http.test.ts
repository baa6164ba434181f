import { describe, expect, test } from '@jest/globals';
import { PROBLEMS, type ProblemCode, problemBody, problemResponse } from './problems.ts';
import { enrolRequest, journalQuery, keepRequest, proofRequest, seenRequest } from './requests.ts';
import { appendResponse, keepResponse, vaultResponse } from './responses.ts';
import { pathOf, ROUTES } from './routes.ts';

const PACK = 'ab'.repeat(32);

describe('requests are strict', () => {
  test.each([
    ['enrol', enrolRequest, { code: 'K7QD', name: 'PC' }],
    ['proof', proofRequest, { signature: Buffer.alloc(64).toString('base64') }],
    ['seen', seenRequest, { mandateRefs: ['0a'.repeat(16)] }],
    ['keep', keepRequest, { packIds: [PACK] }],
  ])('%s: taken as it is, refused with a field more or a field less', (_, schema, body) => {
    expect(schema.safeParse(body).success).toBe(true);
    expect(schema.safeParse({ ...body, admin: true }).success).toBe(false);
    for (const field of Object.keys(body))
      expect(schema.safeParse({ ...body, [field]: undefined }).success).toBe(false);
    expect(schema.safeParse(JSON.parse('{"__proto__":{}}')).success).toBe(false);
  });

  test.each([
    ['capitals', PACK.toUpperCase()],
    ['63 digits', PACK.slice(1)],
    ['65 digits', `${PACK}0`],
    ['a path', `../${PACK.slice(3)}`],
    ['a line break after', `${PACK}\n`],
    ['a number', 12],
  ])('a pack id: %s is none', (_, id) => {
    expect(keepRequest.safeParse({ packIds: [id] }).success).toBe(false);
  });

  test.each([
    ['too short', Buffer.alloc(63).toString('base64')],
    ['too long', Buffer.alloc(65).toString('base64')],
    ['without padding', Buffer.alloc(64).toString('base64').replaceAll('=', '')],
    ['base64url', Buffer.alloc(64, 0xff).toString('base64url')],
    ['bits beyond the last byte', Buffer.alloc(64).toString('base64').replace('A==', 'B==')],
  ])('a signature in base64: %s is none', (_, signature) => {
    expect(proofRequest.safeParse({ signature }).success).toBe(false);
  });

  test.each([
    ['blank', '   ', false],
    ['100 characters', 'é'.repeat(100), true],
    ['101', 'é'.repeat(101), false],
    ['an escape sequence', 'PC\u001b[2J', false],
    ['an unpaired surrogate', 'PC\ud800', false],
  ])('a device name: %s', (_, name, good) => {
    expect(enrolRequest.safeParse({ code: 'K7QD', name }).success).toBe(good);
  });

  test.each([
    [{}, true],
    [{ after: '0', limit: '500' }, true],
    [{ limit: '0' }, false],
    [{ limit: '501' }, false],
    [{ after: '-1' }, false],
    [{ after: '1e3' }, false],
    [{ after: '01' }, false],
    [{ after: '9007199254740993' }, false],
    [{ before: '3' }, false],
  ])('query %j of the journal', (query, good) => {
    expect(journalQuery.safeParse(query).success).toBe(good);
  });
});

describe('responses are loose, and bytes come out decoded', () => {
  test('what a newer server adds does no harm', () => {
    const parsed = keepResponse.parse(JSON.parse(`{"missing":["${PACK}"],"since":3,"__proto__":{"polluted":true}}`));
    expect(parsed.missing).toEqual([PACK]);
    expect((parsed as Record<string, unknown>)['polluted']).toBeUndefined();
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  test('a vault and a receipt', () => {
    const base64 = (length: number) => Buffer.alloc(length, 7).toString('base64');
    const body = {
      vaultId: '0a'.repeat(16),
      header: base64(300),
      share: base64(32),
      challenge: base64(32),
      head: null,
    };
    expect(vaultResponse.parse(body)).toMatchObject({ header: new Uint8Array(300).fill(7), head: null });
    expect(vaultResponse.safeParse({ ...body, header: base64(4097) }).success).toBe(false);
    expect(vaultResponse.safeParse({ ...body, share: base64(31) }).success).toBe(false);
    expect(appendResponse.parse({ seq: 3, receipt: base64(200) }).receipt).toHaveLength(200);
    expect(appendResponse.safeParse({ seq: 3, receipt: base64(199) }).success).toBe(false);
  });
});

describe('problems', () => {
  test.each(Object.keys(PROBLEMS) as ProblemCode[])('%s', (code) => {
    const body = problemBody(code, { retryAfter: 3 });
    expect(body.status).toBeGreaterThanOrEqual(400);
    expect(body.status).toBeLessThan(600);
    expect(problemResponse.parse(body)).toEqual({
      code,
      status: PROBLEMS[code].status,
      title: PROBLEMS[code].title,
      type: `urn:cresus-safe:problem:${code}`,
      retryAfter: 3,
    });
  });

  test('facts cannot disguise a problem as another', () => {
    expect(problemBody('closed', { code: 'internal', status: 200 })).toMatchObject({ code: 'closed', status: 410 });
  });
});

describe('routes', () => {
  test('ids are filled in', () => {
    expect(pathOf('pack', { packId: PACK })).toBe(`/v1/packs/${PACK}`);
    expect(pathOf('heal')).toBe('/v1/journal/heal');
    expect(pathOf('device', { deviceId: '../x' })).toBe('/v1/devices/..%2Fx');
  });

  test('no two are the same', () => {
    expect(new Set(Object.values(ROUTES)).size).toBe(Object.keys(ROUTES).length);
  });
});
