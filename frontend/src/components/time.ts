/** Times as people say them. */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Reads an ISO time; one without a zone is UTC (that is how the host writes some). */
export function readTime(text: string): Date {
  const zoned = /(?:Z|[+-]\d\d:?\d\d)$/iu.test(text);
  return new Date(zoned ? text : `${text}Z`);
}

/** `now`, `4 min ago`, `3 h ago`, `yesterday`, `12 Nov`, `12 Nov 2025`. */
export function ago(time: Date, now = new Date()): string {
  const passed = now.getTime() - time.getTime();
  if (passed < MINUTE) {
    return "now";
  }
  if (passed < HOUR) {
    return `${Math.floor(passed / MINUTE)} min ago`;
  }
  if (passed < DAY && time.getDate() === now.getDate()) {
    return `${Math.floor(passed / HOUR)} h ago`;
  }
  const yesterday = new Date(now);
  yesterday.setDate(now.getDate() - 1);
  if (time.toDateString() === yesterday.toDateString()) {
    return "yesterday";
  }
  return day(time, now);
}

/** `12 Nov`, with the year when it is another one. */
export function day(time: Date, now = new Date()): string {
  const year = time.getFullYear() === now.getFullYear() ? undefined : "numeric";
  return time.toLocaleDateString("en-GB", { day: "numeric", month: "short", year });
}

/** Whether a time comes within so many days. */
export function isSoon(time: Date, days: number, now = new Date()): boolean {
  return time.getTime() - now.getTime() < days * DAY;
}

/** In so many days from now. */
export function inDays(days: number, now = new Date()): Date {
  return new Date(now.getTime() + days * DAY);
}
