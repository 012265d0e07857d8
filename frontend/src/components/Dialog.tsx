/** Dialogs: focus is kept inside and given back; Escape and a press beside it close it. */
import { Dialog as Base } from "@base-ui/react/dialog";
import type { ReactElement, ReactNode } from "react";

interface DialogProps {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  title: string;
  description?: ReactNode;
  children?: ReactNode;
  actions: ReactNode;
  /** Opens it, and gets the focus back. */
  trigger?: ReactElement;
}

export function Dialog({ open, onOpenChange, title, description, children, actions, trigger }: DialogProps) {
  return (
    <Base.Root open={open} onOpenChange={onOpenChange}>
      {trigger && <Base.Trigger render={trigger} />}
      <Base.Portal>
        <Base.Backdrop className="overlay-motion fixed inset-0 bg-scrim" />
        <Base.Popup
          className="overlay-motion fixed top-1/2 left-1/2 grid max-h-[90dvh] w-[min(26rem,calc(100vw-2rem))] -translate-x-1/2
            -translate-y-1/2 gap-4 overflow-y-auto rounded-dialog bg-raised p-5 text-ink shadow-overlay outline-none"
        >
          <div className="grid gap-1">
            <Base.Title className="text-page">{title}</Base.Title>
            {description && <Base.Description className="text-ink2">{description}</Base.Description>}
          </div>
          {children}
          <div className="flex flex-wrap justify-end gap-2">{actions}</div>
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  );
}

export const DialogClose = Base.Close;
