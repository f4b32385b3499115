// The person at the browser, and a callback on loopback that the browser ends at.
import { execFile } from "node:child_process";
import { createServer } from "node:http";

// listen returns a callback address and visit(url), which sends the person
// there and resolves with the URL that the browser ended at.
export const listen = async (person) => {
  let arrived;
  const server = createServer((request, response) => {
    response.setHeader("Connection", "close");
    response.end("done");
    arrived?.(new URL(request.url, redirectUrl));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const redirectUrl = `http://127.0.0.1:${server.address().port}/callback`;
  return {
    redirectUrl,
    close: () => server.close(),
    visit: (url) => new Promise((resolve, reject) => {
      arrived = resolve;
      execFile(person, [url.toString()], { timeout: 60_000 }, (error, _, text) => { if (error) reject(new Error(`person: ${text || error}`)); });
    }),
  };
};

const send = (mcpURL, authorization) => fetch(mcpURL, {
  method: "POST",
  headers: { ...authorization, "Content-Type": "application/json", Accept: "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18" },
  body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "gmail_search_threads", arguments: { query: "budget" } } }),
  signal: AbortSignal.timeout(60_000),
});

// challenge calls a tool without a token and with one that is none, and returns
// where the 401 says the resource is described: every client begins there.
export const challenge = async (mcpURL) => {
  let metadata;
  for (const authorization of [{ Authorization: "Bearer x" }, {}]) {
    const response = await send(mcpURL, authorization);
    const header = response.headers.get("WWW-Authenticate") ?? "";
    metadata = /^Bearer .*resource_metadata="([^"]+)"/.exec(header)?.[1];
    await response.body?.cancel();
    if (response.status !== 401 || !metadata) throw new Error(`no challenge: status ${response.status}, ${header}`);
  }
  return new URL(metadata);
};

// callTool calls a tool with a token and no MCP client.
export const callTool = async (mcpURL, token) => {
  const response = await send(mcpURL, { Authorization: `Bearer ${token}` });
  const text = await response.text();
  if (response.status !== 200 || !text.includes("alice@example.com")) throw new Error(`tool: status ${response.status}: ${text.slice(0, 300)}`);
};

export const same = (got, want, what) => {
  if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(`${what}: ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
};
