/** Forwards in even rounds and backwards in odd ones: neither side always runs on what the other left. */
export function alternate<T>(sides: readonly T[], round: number): readonly T[] {
  return round % 2 === 0 ? sides : [...sides].reverse();
}
