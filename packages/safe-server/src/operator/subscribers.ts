import { listDevices } from '../accounts/devices.ts';
import type { CodePurpose, Language } from '../accounts/entities.ts';
import type { Deps } from '../deps.ts';
import { OperatorError } from '../errors.ts';
import { addDays, dayInZurich } from '../subscriptions/calendar.ts';
import {
  addSubscriber,
  changeSubscriber,
  DEFAULT_QUOTA,
  newCode,
  type SubscriberChange,
  type SubscriberView,
  viewSubscriber,
  viewSubscribers,
} from '../subscriptions/service.ts';
import { parseDay, parseDays, parseEmail, parseName, parseNumber, parseSize } from './arguments.ts';
import { deviceDocument, deviceTable } from './devices.ts';
import { print, showBytes, showDay, showTime, type Terminal, table } from './terminal.ts';

const DAY = 86_400_000;

/** What every operator command gets. */
export interface Operation {
  readonly deps: Deps;
  readonly operator: string;
  readonly terminal: Terminal;
}

export interface AddArguments {
  number?: string | undefined;
  name: string;
  email: string;
  expires: string;
  quota?: string | undefined;
  lang?: string | undefined;
}

/** `subscriber add` */
export async function add({ deps, operator, terminal }: Operation, argv: AddArguments): Promise<void> {
  const { subscriber, code, codeExpiresAt } = await addSubscriber(deps, operator, {
    number: argv.number === undefined ? undefined : parseNumber(argv.number),
    name: parseName(argv.name),
    email: parseEmail(argv.email),
    language: (argv.lang ?? 'fr') as Language,
    expiresOn: parseDay(argv.expires),
    quotaBytes: argv.quota === undefined ? DEFAULT_QUOTA : parseSize(argv.quota),
  });
  const { number, name, expiresOn } = subscriber;
  const document = { number, name, expiresOn, enrolmentCode: code, enrolmentCodeExpiresAt: codeExpiresAt };
  const { t } = terminal;
  print(terminal, document, () => [
    t('subscriber.added', { number, name, date: showDay(expiresOn) }),
    t('code.made', { code, date: showTime(codeExpiresAt, t) }),
  ]);
}

export interface ListArguments {
  state?: string | undefined;
  expiringWithin?: string | undefined;
  silentFor?: string | undefined;
}

/** `subscriber list` */
export async function list({ deps, terminal }: Operation, argv: ListArguments): Promise<void> {
  const now = deps.clock();
  const keeps = filters(argv, now);
  const views = (await viewSubscribers(deps)).filter((view) => keeps.every((keep) => keep(view)));
  print(terminal, { subscribers: views.map(subscriberDocument) }, () => subscriberTable(views, terminal));
}

function filters(
  { state, expiringWithin, silentFor }: ListArguments,
  now: number,
): ((view: SubscriberView) => boolean)[] {
  const keeps: ((view: SubscriberView) => boolean)[] = [];
  if (state !== undefined) keeps.push(({ subscription }) => subscription.state === state);
  if (expiringWithin !== undefined) {
    const today = dayInZurich(now);
    const last = addDays(today, parseDays(expiringWithin));
    keeps.push(({ subscriber }) => subscriber.expiresOn >= today && subscriber.expiresOn <= last);
  }
  if (silentFor !== undefined) {
    const since = now - parseDays(silentFor) * DAY;
    keeps.push(({ silentSince }) => silentSince <= since);
  }
  return keeps;
}

/** `subscriber show` */
export async function show({ deps, terminal }: Operation, number: string): Promise<void> {
  const view = await viewSubscriber(deps, parseNumber(number));
  const devices = await deps.db.read((manager) => listDevices(manager, number));
  const { t, language } = terminal;
  const { subscriber, subscription } = view;
  print(terminal, { ...subscriberDocument(view), devices: devices.map(deviceDocument) }, () => [
    ...subscriberTable([view], terminal),
    '',
    `${t('column.email')}: ${subscriber.email}`,
    `${t('column.language')}: ${subscriber.language}`,
    `${t('column.quota')}: ${showBytes(subscription.quotaBytes, language)}`,
    '',
    ...deviceTable(devices, terminal),
  ]);
}

export interface SetArguments {
  name?: string | undefined;
  email?: string | undefined;
  lang?: string | undefined;
  quota?: string | undefined;
  quotaUntil?: string | undefined;
}

/** `subscriber set` */
export async function set(operation: Operation, number: string, argv: SetArguments): Promise<void> {
  const change: SubscriberChange = {
    ...(argv.name !== undefined && { name: parseName(argv.name) }),
    ...(argv.email !== undefined && { email: parseEmail(argv.email) }),
    ...(argv.lang !== undefined && { language: argv.lang as Language }),
    ...quotaChange(argv),
  };
  if (Object.keys(change).length === 0) throw new OperatorError('set.nothing');
  await apply(operation, number, 'subscriber-set', change);
}

function quotaChange({ quota, quotaUntil }: SetArguments): SubscriberChange {
  if (quota === undefined) {
    if (quotaUntil !== undefined) throw new OperatorError('quota.until-alone');
    return {};
  }
  const bytes = parseSize(quota);
  if (quotaUntil === undefined) return { quotaBytes: bytes, temporaryQuotaBytes: null, quotaUntil: null };
  return { temporaryQuotaBytes: bytes, quotaUntil: parseDay(quotaUntil) };
}

/** `subscriber extend`: sets the date, an earlier one too. */
export async function extend(operation: Operation, number: string, until: string): Promise<void> {
  await apply(operation, number, 'subscriber-extend', { expiresOn: parseDay(until) });
}

/** `subscriber suspend` and `resume` */
export async function suspend(operation: Operation, number: string, suspended: boolean): Promise<void> {
  await apply(operation, number, suspended ? 'subscriber-suspend' : 'subscriber-resume', { suspended });
}

async function apply(
  { deps, operator, terminal }: Operation,
  number: string,
  operation: string,
  change: SubscriberChange,
): Promise<void> {
  await changeSubscriber(deps, operator, { number: parseNumber(number), operation, change });
  const view = await viewSubscriber(deps, number);
  const { state, expiresOn } = view.subscription;
  print(terminal, subscriberDocument(view), () => [
    terminal.t('subscriber.changed', { number, state: terminal.t(`state.${state}`), date: showDay(expiresOn) }),
  ]);
}

/** `subscriber code` */
export async function code(
  { deps, operator, terminal }: Operation,
  number: string,
  purpose: CodePurpose = 'enrol',
): Promise<void> {
  const issued = await newCode(deps, operator, parseNumber(number), purpose);
  const { t } = terminal;
  const document = { number, enrolmentCode: issued.code, enrolmentCodeExpiresAt: issued.expiresAt };
  const key = purpose === 'forget' ? 'code.made-forget' : 'code.made';
  print(terminal, document, () => [t(key, { code: issued.code, date: showTime(issued.expiresAt, t) })]);
}

function subscriberDocument(view: SubscriberView): object {
  const { subscriber, subscription, usedBytes, devices, lastSnapshotAt, silentSince } = view;
  const { number, name, email, language, suspended, quotaUntil, createdAt } = subscriber;
  const { quotaBytes, ...rest } = subscription;
  const quota = { quotaBytes, quotaUntil, usedBytes };
  return {
    number,
    name,
    email,
    lang: language,
    suspended,
    ...rest,
    ...quota,
    devices,
    lastSnapshotAt,
    silentSince,
    createdAt,
  };
}

function subscriberTable(views: readonly SubscriberView[], { t, language }: Terminal): string[] {
  if (views.length === 0) return [t('list.empty')];
  const head = [
    t('column.number'),
    t('column.name'),
    t('column.state'),
    t('column.expires'),
    t('column.used'),
    t('column.devices'),
    t('column.last'),
  ];
  const rows = views.map(({ subscriber, subscription, usedBytes, devices, lastSnapshotAt }) => [
    subscriber.number,
    subscriber.name,
    t(`state.${subscription.state}`),
    showDay(subscription.expiresOn),
    showBytes(usedBytes, language),
    String(devices),
    showTime(lastSnapshotAt, t),
  ]);
  return table(head, rows, 1);
}
