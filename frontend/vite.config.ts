import { fileURLToPath } from "node:url";

import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

/** Where `cargo xtask run` serves; `npm run dev` hands it what is not the app's. */
const HOST = process.env["JACKFIELD_DEV_HOST"] ?? "http://127.0.0.1:3000";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: {
    target: "es2023",
    // The policy allows no `data:` but pictures.
    assetsInlineLimit: 0,
    // For the size check. What begins with a point is not embedded.
    manifest: true,
    // The polyfill is an inline script that no browser of today needs.
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: Object.fromEntries(
      ["/api", "/oauth/keycloak", "/oauth/local", "/oauth/device/verify-authenticated", "/oauth/device/deny", "/realms"].map(
        (path) => [path, { target: HOST }],
      ),
    ),
  },
  test: { environment: "happy-dom", include: ["src/**/*.test.{ts,tsx}"] },
});
