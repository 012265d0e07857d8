import { expect, it } from "vitest";

import { readCode } from "./code";

it.each([
  ["QJ7M4RXD", "QJ7M4RXD"],
  ["qj7m-4rxd", "QJ7M4RXD"],
  [" QJ7M 4RXD ", "QJ7M4RXD"],
  ["23456789", "23456789"],
  ["QJ7M4RX", undefined],
  ["QJ7M4RXDX", undefined],
  ["QJ7M4RX!", undefined],
  ["", undefined],
  [undefined, undefined],
])("%s is %s", (typed, code) => {
  expect(readCode(typed)).toBe(code);
});
