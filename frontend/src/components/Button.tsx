/** Buttons: 24, 28 and 40 px; on phones at least 44. */
import { clsx } from "clsx";
import type { ComponentProps } from "react";

export type ButtonKind = "primary" | "default" | "quiet" | "danger" | "destructive";
export type ButtonSize = "small" | "medium" | "large";

const KIND: Record<ButtonKind, string> = {
  primary: "border-ink bg-ink text-surface hover:bg-ink2 hover:border-ink2",
  default: "border-line2 bg-raised text-ink hover:bg-hover",
  quiet: "border-transparent text-ink2 hover:bg-hover hover:text-ink",
  danger: "border-line2 bg-raised text-bad hover:bg-bad-soft",
  destructive: "border-bad bg-bad text-surface hover:brightness-110",
};

const SIZE: Record<ButtonSize, string> = {
  small: "h-6 px-2 max-rail:h-11 max-rail:px-3",
  medium: "h-7 px-2.5 max-rail:h-11 max-rail:px-3.5",
  large: "h-10 px-3.5 text-reading max-rail:h-11",
};

export interface ButtonProps extends ComponentProps<"button"> {
  kind?: ButtonKind;
  size?: ButtonSize;
  /** It is being done: same width, and pressed again it does nothing. */
  working?: boolean;
  /** Off, but with a reason that can be read: it stays focusable. */
  off?: boolean;
}

export function buttonClass(kind: ButtonKind = "default", size: ButtonSize = "medium"): string {
  return clsx(
    "inline-flex shrink-0 items-center justify-center gap-2 rounded-control border font-medium whitespace-nowrap",
    "select-none transition-colors duration-120 ring-focus",
    "aria-disabled:cursor-default aria-disabled:opacity-45",
    KIND[kind],
    SIZE[size],
  );
}

export function Button({ kind, size, working, off, className, onClick, type = "button", ...rest }: ButtonProps) {
  return (
    <button
      {...rest}
      // oxlint-disable-next-line react/button-has-type -- it has a default
      type={type}
      aria-busy={working || undefined}
      aria-disabled={off || undefined}
      className={clsx(buttonClass(kind, size), working && "opacity-80", className)}
      onClick={(event) => {
        if (working || off) {
          event.preventDefault();
          return;
        }
        onClick?.(event);
      }}
    />
  );
}
