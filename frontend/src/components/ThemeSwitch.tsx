/** Light, dark, system. */
import { Monitor, Moon, Sun } from "lucide-react";

import { chooseTheme, useTheme, type Theme } from "@/app/theme";

const THEMES = [
  { theme: "system", word: "System", Icon: Monitor },
  { theme: "light", word: "Light", Icon: Sun },
  { theme: "dark", word: "Dark", Icon: Moon },
] as const satisfies { theme: Theme; word: string; Icon: unknown }[];

/** All three side by side. */
export function ThemeSwitch() {
  const chosen = useTheme();
  return (
    <fieldset className="inline-flex rounded-control border border-line2 bg-sunken p-0.5">
      <legend className="sr-only">Theme</legend>
      {THEMES.map(({ theme, word, Icon }) => (
        <label
          key={theme}
          className="flex h-7 cursor-pointer items-center gap-2 rounded-chip px-3 font-medium text-ink2 has-checked:bg-raised
            has-checked:text-ink has-checked:shadow-[0_0_0_1px_var(--line2)] has-focus-visible:outline-2
            has-focus-visible:outline-accent max-rail:h-11"
        >
          <input
            type="radio"
            name="theme"
            value={theme}
            checked={chosen === theme}
            onChange={() => chooseTheme(theme)}
            className="sr-only"
          />
          <Icon size={16} strokeWidth={1.6} aria-hidden />
          {word}
        </label>
      ))}
    </fieldset>
  );
}

/** The next one at a press. */
export function ThemeButton() {
  const chosen = useTheme();
  const at = THEMES.findIndex(({ theme }) => theme === chosen);
  const now = THEMES[at] ?? THEMES[0];
  const next = THEMES[(at + 1) % THEMES.length] ?? THEMES[0];
  return (
    <button
      type="button"
      onClick={() => chooseTheme(next.theme)}
      aria-label={`Theme: ${now.word}. Switch to ${next.word}`}
      className="flex h-7 items-center gap-2 rounded-control px-2 text-note text-ink3 ring-focus hover:bg-hover hover:text-ink
        max-rail:h-11"
    >
      <now.Icon size={16} strokeWidth={1.6} aria-hidden />
      {now.word}
    </button>
  );
}
