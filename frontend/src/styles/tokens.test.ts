/** The contrast of what is read, by WCAG 2's formula, from the very file that the app is styled with. */
import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

const css = readFileSync("src/styles/tokens.css", "utf8");

type Theme = "dark" | "light";

function token(theme: Theme, name: string): [number, number, number] {
  const block = css.split("}").find((part) => part.includes(`[data-theme="${theme}"]`)) ?? "";
  const found = new RegExp(`--${name}: oklch\\(([\\d.]+) ([\\d.]+) ([\\d.]+)\\)`, "u").exec(block);
  if (!found) {
    throw new Error(`tokens.css has no --${name} for ${theme}`);
  }
  return [Number(found[1]), Number(found[2]), Number(found[3])];
}

function cut(channel: number): number {
  return Math.min(1, Math.max(0, channel));
}

/** Relative luminance of an OKLCH colour, cut to what sRGB can show. */
function luminance([l, chroma, hue]: [number, number, number]): number {
  const angle = (hue * Math.PI) / 180;
  const a = chroma * Math.cos(angle);
  const b = chroma * Math.sin(angle);
  const long = (l + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const medium = (l - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const short = (l - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const red = 4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short;
  const green = -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short;
  const blue = -0.0041960863 * long - 0.7034186147 * medium + 1.707614701 * short;
  return 0.2126 * cut(red) + 0.7152 * cut(green) + 0.0722 * cut(blue);
}

function contrast(theme: Theme, one: string, other: string): number {
  const [dark, bright] = [luminance(token(theme, one)), luminance(token(theme, other))].toSorted((a, b) => a - b);
  return ((bright ?? 0) + 0.05) / ((dark ?? 0) + 0.05);
}

describe("contrast", () => {
  it.each([
    ["ink", "surface", 15.6, 16.4],
    ["ink2", "surface", 9.4, 8.5],
    ["ink3", "surface", 6.4, 5.7],
    ["ink3", "active", 5.3, 4.8],
    ["accent", "surface", 10.1, 6.0],
    ["info", "surface", 8.8, 5.9],
    ["warn", "surface", 10.6, 5.7],
    ["bad", "surface", 7.2, 6.0],
    ["control", "surface", 3.8, 3.8],
    ["control", "active", 3.2, 3.2],
  ])("%s on %s", (text, ground, dark, light) => {
    expect(contrast("dark", text, ground)).toBeGreaterThan(dark - 0.1);
    expect(contrast("light", text, ground)).toBeGreaterThan(light - 0.1);
  });

  it.each(["accent", "info", "warn", "bad"])("%s on its soft ground", (meaning) => {
    expect(contrast("dark", meaning, `${meaning}-soft`)).toBeGreaterThan(6.2);
    expect(contrast("light", meaning, `${meaning}-soft`)).toBeGreaterThan(4.9);
  });

  it.each(["bg", "hover", "raised", "sunken"])("facts on %s", (ground) => {
    expect(contrast("dark", "ink3", ground)).toBeGreaterThan(4.5);
    expect(contrast("light", "ink3", ground)).toBeGreaterThan(4.5);
  });
});
