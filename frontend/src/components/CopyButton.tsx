/** Copies a text and says so. */
import { Check, Copy } from "lucide-react";
import { useEffect, useState } from "react";

import { Button, type ButtonProps } from "./Button";

interface CopyProps extends Omit<ButtonProps, "children" | "onClick"> {
  text: string;
  /** What is copied, for those who do not see where the button stands. */
  what: string;
  /** Beside the icon. */
  word?: string;
}

export function CopyButton({ text, what, word, ...button }: CopyProps) {
  const [said, say] = useState<"copied" | "failed">();
  useEffect(() => {
    if (!said) {
      return undefined;
    }
    const timer = window.setTimeout(say, 2000, undefined);
    return () => window.clearTimeout(timer);
  }, [said]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      say("copied");
    } catch {
      // Without HTTPS there is no clipboard; the text is on the page and can be marked.
      say("failed");
    }
  };
  const Icon = said === "copied" ? Check : Copy;
  return (
    <>
      <Button {...button} onClick={() => void copy()} aria-label={word ? undefined : `Copy ${what}`}>
        <Icon size={16} strokeWidth={1.6} aria-hidden />
        {word}
      </Button>
      <span role="status" className="sr-only">
        {said === "copied" && `Copied ${what}`}
        {said === "failed" && `Cannot copy ${what}: mark it and copy it by hand`}
      </span>
    </>
  );
}

/** A command line to be copied. */
export function CommandLine({ command }: { command: string }) {
  return (
    <div className="flex items-center gap-2 rounded-control bg-sunken py-1 pr-1 pl-3">
      <code className="min-w-0 flex-1 overflow-x-auto py-1.5 font-mono text-mono whitespace-nowrap text-ink">
        {command}
      </code>
      <CopyButton kind="quiet" size="medium" text={command} what="the command" />
    </div>
  );
}
