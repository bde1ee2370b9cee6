/** What the ticks beside an own message say. */

import type { Message, ReceiptSummary, Seq } from "@chatcluster/client";

export type Tick = "sending" | "failed" | "sent" | "delivered" | "read";

export interface Receipts {
  /** DIRECT: the other's cursors. */
  peer?: { delivered: Seq; read: Seq } | undefined;
  /** GROUP: N of M by message. */
  summaries: ReadonlyMap<Seq, ReceiptSummary>;
}

/** The tick of a message that has its seq; in a group all must have it. */
export function tickOf({ seq }: Pick<Message, "seq">, { peer, summaries }: Receipts): Tick {
  if (peer) return peer.read >= seq ? "read" : peer.delivered >= seq ? "delivered" : "sent";
  const summary = summaries.get(seq);
  if (!summary || summary.of === 0) return "sent";
  if (summary.read >= summary.of) return "read";
  return summary.delivered >= summary.of ? "delivered" : "sent";
}

/** "2 of 3 read", where there is something to say. */
export function countOf(summary: ReceiptSummary | undefined): string | undefined {
  if (!summary || summary.of === 0) return undefined;
  if (summary.read > 0) return `${summary.read} of ${summary.of} read`;
  return `${summary.delivered} of ${summary.of} delivered`;
}
