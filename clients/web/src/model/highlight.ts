/** Text cut into pieces, marked or not. */

export interface Piece {
  text: string;
  isMarked: boolean;
}

/** Cuts `text` at ranges in UTF-16 units; what is out of range or overlaps is passed over. */
export function pieces(text: string, ranges: readonly (readonly [start: number, end: number])[]): Piece[] {
  const cut: Piece[] = [];
  let at = 0;
  for (const [start, end] of [...ranges].sort((a, b) => a[0] - b[0])) {
    if (start < at || end <= start || end > text.length) continue;
    if (start > at) cut.push({ text: text.slice(at, start), isMarked: false });
    cut.push({ text: text.slice(start, end), isMarked: true });
    at = end;
  }
  if (at < text.length) cut.push({ text: text.slice(at), isMarked: false });
  return cut;
}
