// oauth4webapi reads every response strictly, from the protected resource's
// metadata to revocation. usage: oauth4webapi.mjs MCP_URL PERSON_PROGRAM
import * as oauth from "oauth4webapi";
import { callTool, challenge, listen, same } from "./person.mjs";

const [mcpURL, person] = process.argv.slice(2);
const insecure = { [oauth.allowInsecureRequests]: true };
const callback = await listen(person);
const resource = new URL(mcpURL);
const answer = await oauth.resourceDiscoveryRequest(resource, insecure);
same(answer.url, (await challenge(mcpURL)).href, "where the 401 says the resource is described");
const protectedResource = await oauth.processResourceDiscoveryResponse(resource, answer);
const issuer = new URL(protectedResource.authorization_servers[0]);
let as;
for (const algorithm of ["oidc", "oauth2"]) {
  as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm, ...insecure }));
}

for (const method of ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]) {
  const metadata = { client_name: `oauth4webapi ${method}`, redirect_uris: [callback.redirectUrl], grant_types: ["authorization_code", "refresh_token"], response_types: ["code"], token_endpoint_auth_method: method };
  let authentication;
  if (method === "private_key_jwt") {
    const pair = await oauth.generateKeyPair("ES256", { extractable: true });
    metadata.jwks = { keys: [{ ...(await crypto.subtle.exportKey("jwk", pair.publicKey)), kid: "one", alg: "ES256", use: "sig" }] };
    authentication = oauth.PrivateKeyJwt({ key: pair.privateKey, kid: "one" });
  }
  const client = await oauth.processDynamicClientRegistrationResponse(await oauth.dynamicClientRegistrationRequest(as, metadata, insecure));
  authentication ??= method === "none" ? oauth.None() : method === "client_secret_post" ? oauth.ClientSecretPost(client.client_secret) : oauth.ClientSecretBasic(client.client_secret);

  const verifier = oauth.generateRandomCodeVerifier(), state = oauth.generateRandomState();
  const parameters = {
    client_id: client.client_id, redirect_uri: callback.redirectUrl, response_type: "code", scope: "gmail.read", resource: mcpURL, state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256",
  };
  const pushed = await oauth.processPushedAuthorizationResponse(as, client, await oauth.pushedAuthorizationRequest(as, client, authentication, parameters, insecure));
  await challenge(mcpURL);
  const url = new URL(as.authorization_endpoint);
  url.search = new URLSearchParams({ client_id: client.client_id, request_uri: pushed.request_uri });
  const response = oauth.validateAuthResponse(as, client, await callback.visit(url), state);
  const additional = { additionalParameters: { resource: mcpURL }, ...insecure };
  const tokens = await oauth.processAuthorizationCodeResponse(as, client, await oauth.authorizationCodeGrantRequest(as, client, authentication, response, callback.redirectUrl, verifier, additional));
  const claims = await oauth.validateJwtAccessToken(as, new Request(mcpURL, { headers: { Authorization: `Bearer ${tokens.access_token}` } }), protectedResource.resource, insecure);
  same([claims.iss, claims.client_id, claims.scope], [as.issuer, client.client_id, "gmail.read"], "RFC 9068 claims");
  await callTool(mcpURL, tokens.access_token);
  const fresh = await oauth.processRefreshTokenResponse(as, client, await oauth.refreshTokenGrantRequest(as, client, authentication, tokens.refresh_token, additional));
  await callTool(mcpURL, fresh.access_token);
  if (method !== "none") {
    const state = await oauth.processIntrospectionResponse(as, client, await oauth.introspectionRequest(as, client, authentication, fresh.access_token, insecure));
    same([state.active, state.sub], [true, claims.sub], "introspection");
  }
  await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, authentication, fresh.refresh_token, insecure));
  const refused = await oauth.processRefreshTokenResponse(as, client, await oauth.refreshTokenGrantRequest(as, client, authentication, fresh.refresh_token, additional)).then(() => "accepted", (error) => error.error);
  same(refused, "invalid_grant", "a refresh after the revocation");
  console.log(`  ${method}: 401, register, pushed request, iss, code, RFC 9068 token, tool, refresh, tool${method === "none" ? "" : ", introspect"}, revoke`);
}
callback.close();
