// The TypeScript SDK v2 in each protocol mode, registered dynamically and by a
// metadata document. usage: sdk2.mjs MCP_URL PERSON_PROGRAM DOCUMENT_URL
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from "@modelcontextprotocol/client";
import { listen, same } from "./person.mjs";

const [mcpURL, person, documentURL] = process.argv.slice(2);

const run = async (mode, registration) => {
  const callback = await listen(person);
  const kept = {};
  let authorizations = 0, registrations = 0;
  const provider = {
    redirectUrl: callback.redirectUrl,
    clientMetadataUrl: registration === "document" ? documentURL : undefined,
    clientMetadata: { client_name: "TypeScript SDK v2", redirect_uris: [callback.redirectUrl], grant_types: ["authorization_code", "refresh_token"], response_types: ["code"], token_endpoint_auth_method: "none" },
    clientInformation: () => kept.client,
    saveClientInformation: (client) => { registrations++; kept.client = client; },
    tokens: () => kept.tokens,
    saveTokens: (tokens) => { kept.tokens = tokens; },
    saveCodeVerifier: (verifier) => { kept.verifier = verifier; },
    codeVerifier: () => kept.verifier,
    saveDiscoveryState: (state) => { kept.discovery = state; },
    discoveryState: () => kept.discovery,
    redirectToAuthorization: (url) => { authorizations++; kept.url = url; },
  };
  const connect = async () => {
    const client = new Client({ name: "conformance", version: "1.0.0" }, { versionNegotiation: { mode } });
    const transport = new StreamableHTTPClientTransport(new URL(mcpURL), { authProvider: provider });
    try {
      await client.connect(transport);
      return client;
    } catch (error) {
      if (!(error instanceof UnauthorizedError) && !(error.cause instanceof UnauthorizedError)) throw error;
      if (authorizations > 1) throw new Error("the person is asked again");
    }
    const landed = await callback.visit(kept.url);
    await transport.finishAuth(landed.searchParams);
    return connect();
  };
  const read = async (client) => {
    const result = await client.callTool({ name: "gmail_search_threads", arguments: { query: "budget" } });
    if (result.isError || !result.content[0].text.includes("alice@example.com")) throw new Error(`tool: ${JSON.stringify(result).slice(0, 300)}`);
  };
  const client = await connect();
  await read(client);
  const before = kept.tokens.refresh_token;
  kept.tokens = { ...kept.tokens, access_token: "expired" };
  await read(client);
  if (!before || kept.tokens.refresh_token === before || authorizations !== 1) throw new Error("the refresh token was not rotated, or the person was asked again");
  if (registration === "document") same(kept.client.client_id, documentURL, "client id");
  else same([registrations, kept.client.client_id.startsWith("c_")], [1, true], "registrations");
  same(client.getNegotiatedProtocolVersion() === "2026-07-28", mode !== "legacy", "protocol version 2026-07-28");
  console.log(`  ${typeof mode === "string" ? mode : mode.pin}, ${registration}: ${client.getNegotiatedProtocolVersion()}: 401, tool, refresh, tool`);
  await client.close();
  callback.close();
};

for (const registration of ["dynamic", "document"]) {
  for (const mode of ["legacy", "auto", { pin: "2026-07-28" }]) await run(mode, registration);
}
