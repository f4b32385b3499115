package clientauth_test

import (
	"crypto/rsa"
	"encoding/json"
	"math/big"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"latchkey/authserver/internal/clientauth"
)

// TestCostlyKeys: AS-R10: whoever registers a client brings the keys by which this server verifies its requests, so one that makes a
// verification much longer than an ordinary one is none; nor is one that is too small.
func TestCostlyKeys(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		bits, exponent int
		taken          bool
	}{
		"2048 bits":                         {2048, 65537, true},
		"4096 bits":                         {4096, 65537, true},
		"exponent 3":                        {2048, 3, true},
		"1024 bits":                         {1024, 65537, false},
		"8192 bits":                         {8192, 65537, false},
		"the largest exponent that Go has":  {2048, 1<<31 - 1, false},
		"one more than the usual exponent":  {2048, 65539, false},
		"many bits and the largest of them": {8192, 1<<31 - 1, false},
	} {
		n := new(big.Int).SetBit(big.NewInt(1), row.bits-1, 1) // what it is a product of does not matter here
		set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &rsa.PublicKey{N: n, E: row.exponent}, KeyID: "k", Algorithm: "RS256"}}})
		if err != nil {
			t.Fatal(err)
		}
		if keys, err := clientauth.ParseKeySet(set); (err == nil) != row.taken || len(keys.Keys) > 0 != row.taken {
			t.Errorf("%s: %d keys, %v", name, len(keys.Keys), err)
		}
	}
}
