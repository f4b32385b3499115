// The TypeScript SDK's client from the 401 to a tool result and through a
// refresh, headless. usage: sdk.mjs MCP_URL PERSON_PROGRAM
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [mcpURL, person] = process.argv.slice(2);

const callback = createServer();
await new Promise((resolve) => callback.listen(0, "127.0.0.1", resolve));
const redirectUrl = `http://127.0.0.1:${callback.address().port}/callback`;
const arrived = new Promise((resolve) => {
  callback.on("request", (request, response) => {
    response.end("done");
    resolve(new URL(request.url, redirectUrl).searchParams);
  });
});

// An OAuthClientProvider that keeps everything in memory.
const kept = {};
let authorizations = 0;
const provider = {
  redirectUrl,
  clientMetadata: { client_name: "TypeScript SDK", redirect_uris: [redirectUrl], grant_types: ["authorization_code", "refresh_token"], response_types: ["code"], token_endpoint_auth_method: "none" },
  clientInformation: () => kept.client,
  saveClientInformation: (client) => { kept.client = client; },
  tokens: () => kept.tokens,
  saveTokens: (tokens) => { kept.tokens = tokens; },
  saveCodeVerifier: (verifier) => { kept.verifier = verifier; },
  codeVerifier: () => kept.verifier,
  redirectToAuthorization: (url) => { authorizations++; kept.url = url.toString(); },
};

const connect = async () => {
  const client = new Client({ name: "conformance", version: "1.0.0" });
  const transport = new StreamableHTTPClientTransport(new URL(mcpURL), { authProvider: provider });
  try {
    await client.connect(transport);
    return client;
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
  }
  const visit = new Promise((resolve, reject) => {
    execFile(person, [kept.url], (error) => (error ? reject(error) : resolve()));
  });
  const response = await arrived;
  await visit;
  await transport.finishAuth(response.get("code"));
  return connect();
};

const read = async (client) => {
  const result = await client.callTool({ name: "gmail_search_threads", arguments: { query: "budget" } });
  if (result.isError || !result.content[0].text.includes("alice@example.com")) throw new Error(`tool: ${JSON.stringify(result).slice(0, 300)}`);
  return result.content[0].text.split("\n")[0].slice(0, 60);
};

const client = await connect();
console.log("  tools:", (await client.listTools()).tools.map((tool) => tool.name).join(" "));
console.log("  401, then a result:", await read(client));
// An access token that no longer works makes the SDK refresh.
const before = kept.tokens.refresh_token;
kept.tokens = { ...kept.tokens, access_token: "expired" };
console.log("  after a refresh:", await read(client));
if (!before || kept.tokens.refresh_token === before || authorizations !== 1) throw new Error("the refresh token was not rotated, or the person was asked again");
await client.close();
callback.close();
