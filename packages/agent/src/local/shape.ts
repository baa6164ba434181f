/** Typed reading of one JSON object: each method throws a `TypeError` that names the field which is not what it should be. */
export interface Shape {
  text(key: string): string;
  optionalText(key: string): string | undefined;
  integer(key: string): number;
  optionalInteger(key: string): number | undefined;
  flag(key: string): boolean;
  object(key: string): Shape;
  optionalObject(key: string): Shape | undefined;
  optional<T>(key: string, read: (value: unknown) => T): T | undefined;
  list<T>(key: string, item: (value: unknown) => T): T[];
  optionalList<T>(key: string, item: (value: unknown) => T): T[] | undefined;
}

/**
 * Checks that `value` is a JSON object and gives typed access to its fields. A tenth of a schema library, and of its
 * loading time, which every start of the program would pay.
 */
export function shape(value: unknown, name = 'document'): Shape {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(name, 'an object');
  const fields = value as Record<string, unknown>;
  const get = (key: string): unknown => (Object.hasOwn(fields, key) ? fields[key] : undefined);
  const optional = <T>(key: string, read: (key: string) => T): T | undefined =>
    get(key) === undefined || get(key) === null ? undefined : read(key);
  const self: Shape = {
    text: (key) => expect(get(key), key, 'text', isText),
    optionalText: (key) => optional(key, self.text),
    integer: (key) => expect(get(key), key, 'a whole number', isInteger),
    optionalInteger: (key) => optional(key, self.integer),
    flag: (key) => expect(get(key), key, 'true or false', isFlag),
    object: (key) => shape(get(key), key),
    optionalObject: (key) => optional(key, self.object),
    optional: (key, read) => optional(key, () => read(get(key))),
    list: (key, item) => expect(get(key), key, 'a list', isList).map((each) => item(each)),
    optionalList: (key, item) => optional(key, () => self.list(key, item)),
  };
  return self;
}

const isText = (value: unknown): value is string => typeof value === 'string';
const isInteger = (value: unknown): value is number => Number.isSafeInteger(value);
const isFlag = (value: unknown): value is boolean => typeof value === 'boolean';
const isList = (value: unknown): value is unknown[] => Array.isArray(value);

function expect<T>(value: unknown, key: string, what: string, test: (value: unknown) => value is T): T {
  if (!test(value)) throw wrong(key, what);
  return value;
}

function wrong(key: string, what: string): TypeError {
  return new TypeError(`${key} is not ${what}`);
}
