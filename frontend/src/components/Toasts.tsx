/** What was done, for six seconds. An error is never only here. */
import { Toast } from "@base-ui/react/toast";
import { X } from "lucide-react";
import type { ReactNode } from "react";

import { Glyph } from "./Glyph";

export function Toasts({ children }: { children: ReactNode }) {
  return (
    <Toast.Provider timeout={6000}>
      {children}
      <Toast.Portal>
        <Toast.Viewport className="fixed bottom-4 left-1/2 z-10 grid w-[min(24rem,calc(100vw-2rem))] -translate-x-1/2 gap-2">
          <Shown />
        </Toast.Viewport>
      </Toast.Portal>
    </Toast.Provider>
  );
}

function Shown() {
  const { toasts } = Toast.useToastManager();
  return toasts.map((toast) => (
    <Toast.Root
      key={toast.id}
      toast={toast}
      swipeDirection="down"
      className="overlay-motion rounded-popover bg-raised text-ink shadow-overlay"
    >
      <Toast.Content className="flex items-center gap-2.5 py-1.5 pr-1.5 pl-3.5">
        <Glyph state="done" />
        <Toast.Title className="min-w-0 flex-1 break-words" />
        <Toast.Description className="text-note text-ink3" />
        <Toast.Close
          aria-label="Close"
          className="grid size-7 place-items-center rounded-control text-ink3 ring-focus hover:bg-hover max-rail:size-11"
        >
          <X size={16} strokeWidth={1.6} aria-hidden />
        </Toast.Close>
      </Toast.Content>
    </Toast.Root>
  ));
}

/** Says what was done. */
export function useToast(): (title: string, description?: string) => void {
  const { add } = Toast.useToastManager();
  return (title, description) => {
    add({ title, description });
  };
}
