// A webhook receiver that only verifies: @octokit/webhooks on node:http, one process.
// Arguments: secret. Prints its port; GET /count tells how many deliveries its handler saw.
import { createServer } from "node:http";
import { createNodeMiddleware, Webhooks } from "@octokit/webhooks";

const webhooks = new Webhooks({ secret: process.argv[2] });
let seen = 0;
webhooks.on("push", () => {
  seen += 1;
});
const middleware = createNodeMiddleware(webhooks, { path: "/integration/github/events" });
const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  if (request.url === "/count") {
    response.end(String(seen));
    return;
  }
  middleware(request, response);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
