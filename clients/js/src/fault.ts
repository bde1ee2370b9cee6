import { isObject } from "./protocol/decode.ts";
import type { ErrorCode, Fault } from "./protocol/frames.ts";

/** A request that failed, by the server's word or for want of one. */
export class ChatError extends Error {
  override readonly name = "ChatError";
  readonly code: ErrorCode | LocalCode;
  /** The same request may succeed later. */
  readonly temporary: boolean;
  readonly retryAfterMs: number | undefined;
  readonly field: string | undefined;
  readonly status: number | undefined;

  constructor(fault: LocalFault, status?: number) {
    super(fault.message);
    this.code = fault.code;
    this.temporary = fault.temporary;
    this.retryAfterMs = fault.retry_after_ms;
    this.field = fault.field;
    this.status = status;
  }

  /** The connection ended before the answer came: the outcome is unknown. */
  static connectionLost(): ChatError {
    return new ChatError({
      code: "connection_lost",
      message: "the connection ended before the answer",
      temporary: true,
    });
  }

  /** No answer came in time: the outcome is unknown. */
  static timeout(): ChatError {
    return new ChatError({ code: "timeout", message: "no answer came in time", temporary: true });
  }
}

/** Failures that only a client can see. */
export type LocalCode = "connection_lost" | "timeout" | "not_connected" | "bad_answer";

type LocalFault = Omit<Fault, "code"> & { code: ErrorCode | LocalCode };

/** Reads a fault out of an `error` frame or a problem body. */
export function readFault(d: unknown, otherwise: LocalFault): LocalFault {
  if (!isObject(d) || typeof d["code"] !== "string") return otherwise;
  return {
    code: d["code"],
    message: typeof d["message"] === "string" ? d["message"] : d["code"],
    temporary: d["temporary"] === true,
    ...(typeof d["retry_after_ms"] === "number" && { retry_after_ms: d["retry_after_ms"] }),
    ...(typeof d["field"] === "string" && { field: d["field"] }),
  };
}
