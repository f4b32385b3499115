// Package admin is the operator's API: its clients (administrators), their
// tokens, and the routes on the admin listener, described by docs/openapi.json.
//
//	POST /admin/token (client_credentials, private_key_jwt or a secret) -> 5 minutes of admin+jwt
//	/admin/v1/... -> token, administrator as stored now, scope, tenant -> one function of package operator or tenancy
//
// A token of this API is of a type and for an audience of its own, so nothing
// else takes it, and it takes no other. An administrator of a tenant reaches
// that tenant and no other: what is elsewhere is not there. Nobody makes or
// changes administrators by the API; that is for the commands, at the machine.
package admin
