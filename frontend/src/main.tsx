import "./styles/app.css";

import { CSPProvider } from "@base-ui/react/csp-provider";
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { createQueryClient, type Gate } from "@/app/query";
import { createAppRouter } from "@/app/router";
import { forgetLoginMethod } from "@/app/loginMethod";
import { followTheme } from "@/app/theme";

followTheme();
forgetLoginMethod();

const queries = createQueryClient((gate: Gate) => void router.navigate({ ...gate, replace: true }));
const router = createAppRouter(queries);

const place = document.getElementById("root");
if (!place) {
  throw new Error("index.html has no element #root to show the app in");
}
createRoot(place).render(
  <StrictMode>
    {/* The policy of the page allows no style elements. */}
    <CSPProvider disableStyleElements>
      <QueryClientProvider client={queries}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </CSPProvider>
  </StrictMode>,
);
