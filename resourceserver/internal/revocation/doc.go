// Package revocation follows the authorization server's feed of revoked grants,
// so that an access token stops working here seconds after its grant was
// revoked and not only when it expires (DESIGN §4).
//
// It knows grant ids, and of what was revoked as a whole the ids of tenant,
// person or client and a time: one entry for any number of grants. While the
// feed does not answer it forgets nothing and refuses nobody else: tokens then
// live until they expire.
package revocation
