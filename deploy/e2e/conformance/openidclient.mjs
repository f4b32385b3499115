// openid-client with each way to authenticate: 401, discovery, dynamic
// registration, pushed request, code, tool, refresh, introspection, revocation.
// usage: openidclient.mjs MCP_URL PERSON_PROGRAM MACHINE_CLIENT_JSON KEYED_DOCUMENT_URL KEY_JWK
import { readFileSync } from "node:fs";
import * as oidc from "openid-client";
import { exportJWK, generateKeyPair, importJWK } from "jose";
import { callTool, challenge, listen, same } from "./person.mjs";

const [mcpURL, person, machineFile, documentURL, documentKey] = process.argv.slice(2);
const insecure = { algorithm: "oauth2", execute: [oidc.allowInsecureRequests] };
const callback = await listen(person);
const described = await (await fetch(await challenge(mcpURL))).json();
same(described.resource, mcpURL, "the resource that the 401 leads to");
const issuer = described.authorization_servers[0];

const keys = async (alg) => {
  const pair = await generateKeyPair(alg);
  return { privateKey: pair.privateKey, jwks: { keys: [{ ...(await exportJWK(pair.publicKey)), kid: alg, alg, use: "sig" }] } };
};

const run = async (name, metadata, authentication, pushed) => {
  const config = metadata === undefined ? await oidc.discovery(new URL(issuer), documentURL, undefined, authentication, insecure) : await oidc.dynamicClientRegistration(new URL(issuer), {
    client_name: `openid-client ${name}`, redirect_uris: [callback.redirectUrl], grant_types: ["authorization_code", "refresh_token"], response_types: ["code"], ...metadata,
  }, authentication, insecure);
  const verifier = oidc.randomPKCECodeVerifier(), state = oidc.randomState();
  const parameters = {
    redirect_uri: callback.redirectUrl, scope: "gmail.read accounts", resource: mcpURL, state,
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256",
  };
  const url = pushed ? await oidc.buildAuthorizationUrlWithPAR(config, parameters) : oidc.buildAuthorizationUrl(config, parameters);
  await challenge(mcpURL);
  const landed = await callback.visit(url);
  const tokens = await oidc.authorizationCodeGrant(config, landed, { pkceCodeVerifier: verifier, expectedState: state }, { resource: mcpURL });
  await callTool(mcpURL, tokens.access_token);
  const fresh = await oidc.refreshTokenGrant(config, tokens.refresh_token, { resource: mcpURL });
  if (fresh.refresh_token === tokens.refresh_token) throw new Error("the refresh token was not rotated");
  await callTool(mcpURL, fresh.access_token);
  if (name !== "none") {
    const before = await oidc.tokenIntrospection(config, fresh.refresh_token);
    same([before.active, before.client_id], [true, config.clientMetadata().client_id], "introspection");
  }
  await oidc.tokenRevocation(config, fresh.refresh_token);
  const refused = await oidc.refreshTokenGrant(config, fresh.refresh_token).then(() => "accepted", (error) => error.error);
  same(refused, "invalid_grant", "a refresh after the revocation");
  if (name !== "none") same((await oidc.tokenIntrospection(config, fresh.access_token)).active, false, "introspection after the revocation");
  console.log(`  ${name}${pushed ? ", pushed request" : ""}: 401, ${metadata ? "register, " : ""}code, tool, refresh, tool${name === "none" ? "" : ", introspect"}, revoke`);
};

for (const pushed of [false, true]) {
  await run("none", { token_endpoint_auth_method: "none" }, oidc.None(), pushed);
  await run("client_secret_basic", { token_endpoint_auth_method: "client_secret_basic" }, undefined, pushed);
  await run("client_secret_post", { token_endpoint_auth_method: "client_secret_post" }, undefined, pushed);
  for (const alg of ["ES256", "Ed25519", "RS256", "PS256"]) {
    const { privateKey, jwks } = await keys(alg);
    if (alg === "Ed25519") jwks.keys[0].alg = "EdDSA";
    await run(`private_key_jwt ${alg}`, { token_endpoint_auth_method: "private_key_jwt", jwks }, oidc.PrivateKeyJwt({ key: privateKey, kid: jwks.keys[0].kid }), pushed);
  }
}

const jwk = JSON.parse(readFileSync(documentKey, "utf8"));
await run("private_key_jwt of a metadata document", undefined, oidc.PrivateKeyJwt({ key: await importJWK(jwk, "ES256"), kid: jwk.kid }), true);

const machine = JSON.parse(readFileSync(machineFile, "utf8"));
const config = await oidc.discovery(new URL(issuer), machine.client_id, undefined, oidc.ClientSecretBasic(machine.client_secret), insecure);
const tokens = await oidc.clientCredentialsGrant(config, { scope: "gmail.read", resource: mcpURL });
same([tokens.scope, tokens.refresh_token], ["gmail.read", undefined], "client_credentials");
console.log("  client_credentials: token");
callback.close();
