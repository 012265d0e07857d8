import { describe, expect, it } from "vitest";

import { ago, day, inDays, isSoon, readTime } from "./time";

const NOW = new Date(2026, 10, 26, 16, 30);

describe("times", () => {
  it.each([
    [new Date(2026, 10, 26, 16, 29, 30), "now"],
    [new Date(2026, 10, 26, 16, 31), "now"],
    [new Date(2026, 10, 26, 16, 26), "4 min ago"],
    [new Date(2026, 10, 26, 13, 10), "3 h ago"],
    [new Date(2026, 10, 25, 23, 0), "yesterday"],
    [new Date(2026, 10, 25, 10, 0), "yesterday"],
    [new Date(2026, 10, 12), "12 Nov"],
    [new Date(2025, 10, 12), "12 Nov 2025"],
  ])("%s is %s", (time, text) => {
    expect(ago(time, NOW)).toBe(text);
  });

  it("without a zone are UTC", () => {
    expect(readTime("2026-11-26T12:00:00.5").toISOString()).toBe("2026-11-26T12:00:00.500Z");
    expect(readTime("2026-11-26T12:00:00Z").toISOString()).toBe("2026-11-26T12:00:00.000Z");
    expect(readTime("2026-11-26T12:00:00+02:00").toISOString()).toBe("2026-11-26T10:00:00.000Z");
  });

  it("count days", () => {
    expect(day(inDays(30, NOW), NOW)).toBe("26 Dec");
    expect([isSoon(inDays(6, NOW), 7, NOW), isSoon(inDays(8, NOW), 7, NOW)]).toEqual([true, false]);
  });
});
