/** Runs `act` for each item, some at a time; after a failure no new one begins, and all have ended when it rejects. */
export async function eachAtOnce<T>(lanes: number, items: Iterable<T>, act: (item: T) => Promise<void>): Promise<void> {
  const shared = items[Symbol.iterator]();
  let failure: { error: unknown } | undefined;
  const lane = async (): Promise<void> => {
    for (let next = shared.next(); !next.done && failure === undefined; next = shared.next()) {
      try {
        await act(next.value);
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  if (failure !== undefined) throw failure.error;
}
