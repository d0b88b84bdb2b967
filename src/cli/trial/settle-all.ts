/**
 * Like `Promise.all`, but waits for all the others when one fails: what is still being started then
 * must not come to life behind the back of the clean-up.
 */
export async function settleAll<T extends readonly unknown[]>(
  promises: readonly [...{ [I in keyof T]: Promise<T[I]> }],
): Promise<T> {
  await Promise.allSettled(promises);
  return (await Promise.all(promises)) as unknown as T;
}
