/** Frame and settings in one, as long as the settings are all there is inside the frame. */
import { useSuspenseQuery } from "@tanstack/react-query";

import { Toasts } from "@/components/Toasts";
import { meQuery } from "@/features/session/session";

import { SettingsLayout } from "./SettingsLayout";
import { Shell } from "./Shell";

export function SettingsRoute() {
  const { data: me } = useSuspenseQuery(meQuery);
  return (
    <Toasts>
      <Shell me={me}>
        <SettingsLayout />
      </Shell>
    </Toasts>
  );
}
