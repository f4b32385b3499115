package kek_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"github.com/tink-crypto/tink-go-gcpkms/v2/integration/gcpkms"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"latchkey/authserver/internal/kek"
)

// canary stands in the text of every error of a stand-in; none may repeat it.
const canary = "canary-7f3a"

// TestMain gives the clients credentials to find, and no other place to look.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "VAULT_TOKEN": "root-token",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// mood is how a stand-in behaves.
type mood int32

const (
	well     mood = iota
	forbids       // the identity may not use the key
	disabled      // the key is disabled
	fails         // with a server error
	hangs         // until the test ends
	floods        // answers without end
	lies          // answers what is no answer
)

// keys are the keys of a stand-in: AES-GCM under a key that its name gives.
type keys struct {
	mood atomic.Int32
	done chan struct{} // closed as the test ends
}

var errWrong = errors.New("wrong key or context")

func (k *keys) is(m mood) bool { return mood(k.mood.Load()) == m }

func (k *keys) aead(name string) cipher.AEAD {
	raw := make([]byte, 32)
	copy(raw, name)
	block, err := aes.NewCipher(raw)
	if err != nil {
		panic(err)
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return a
}

func (k *keys) seal(name string, plain, ad []byte) []byte {
	nonce := make([]byte, 12)
	_, _ = rand.Read(nonce)
	return k.aead(name).Seal(nonce, nonce, plain, ad)
}

func (k *keys) open(name string, sealed, ad []byte) ([]byte, error) {
	if len(sealed) < 12 {
		return nil, errWrong
	}
	plain, err := k.aead(name).Open(nil, sealed[:12], sealed[12:], ad)
	if err != nil {
		return nil, errWrong
	}
	return plain, nil
}

// misbehave plays the moods that are alike in all HTTP services; it reports
// whether it has answered.
func (k *keys) misbehave(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case k.is(fails):
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintf(w, `{"errors":[%q],"message":%[1]q}`, canary)
	case k.is(hangs):
		select {
		case <-k.done:
		case <-r.Context().Done():
		}
	case k.is(floods):
		_, _ = io.WriteString(w, `{"data":{"ciphertext":"`)
		chunk := strings.Repeat("A", 32<<10)
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, chunk); err != nil {
				break
			}
		}
	case k.is(lies):
		_, _ = io.WriteString(w, canary)
	default:
		return false
	}
	return true
}

// provider is a service with its stand-in.
type provider struct {
	keys   *keys
	source func(key string) kek.Source // of the stand-in's key with a name
	absent kek.Source                  // where nobody listens
	moods  []mood                      // those it has besides the ones that all have
}

func newKeys() *keys { return &keys{done: make(chan struct{})} }

// end ends a stand-in; what hangs in it goes first.
func (k *keys) end(t *testing.T, stop func()) {
	t.Cleanup(func() {
		close(k.done)
		stop()
	})
}

// transit is Vault's transit engine (developer.hashicorp.com/vault/api-docs/secret/transit), aes256-gcm96 with associated_data.
func transit(t *testing.T) provider {
	k := newKeys()
	refuse := func(w http.ResponseWriter, status int) {
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"errors":[%q]}`, canary)
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if k.misbehave(w, r) {
			return
		}
		if r.Header.Get("X-Vault-Token") != "root-token" || k.is(forbids) {
			refuse(w, http.StatusForbidden)
			return
		}
		var in struct {
			Plaintext      []byte `json:"plaintext"`
			Ciphertext     string `json:"ciphertext"`
			AssociatedData []byte `json:"associated_data"`
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || len(in.AssociatedData) == 0 {
			refuse(w, http.StatusBadRequest)
			return
		}
		var out any
		if name, ok := strings.CutPrefix(r.URL.Path, "/v1/team/transit/encrypt/"); ok {
			out = map[string]string{"ciphertext": "vault:v1:" + base64.StdEncoding.EncodeToString(k.seal(name, in.Plaintext, in.AssociatedData))}
		} else if name, ok := strings.CutPrefix(r.URL.Path, "/v1/team/transit/decrypt/"); ok {
			raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(in.Ciphertext, "vault:v1:"))
			plain, err := k.open(name, raw, in.AssociatedData)
			if err != nil {
				refuse(w, http.StatusBadRequest)
				return
			}
			out = map[string][]byte{"plaintext": plain}
		} else {
			refuse(w, http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": out})
	}))
	k.end(t, server.Close)
	source := func(host, key string) kek.Source {
		return kek.Through(kek.Source{URI: "hcvault://" + host + "/team/transit/keys/" + key}, server.Client().Transport, "")
	}
	return provider{keys: k, source: func(key string) kek.Source { return source(server.Listener.Addr().String(), key) }, absent: source(nobody, "one"), moods: []mood{forbids}}
}

// amazon is AWS KMS (docs.aws.amazon.com/kms/latest/APIReference): JSON 1.1 with the action in X-Amz-Target.
func amazon(t *testing.T) provider {
	k := newKeys()
	refuse := func(w http.ResponseWriter, status int, code string) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"__type":%q,"message":%q}`, code, canary)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case k.misbehave(w, r):
			return
		case k.is(forbids), !strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/kms/aws4_request"):
			refuse(w, http.StatusBadRequest, "AccessDeniedException")
			return
		case k.is(disabled):
			refuse(w, http.StatusBadRequest, "DisabledException")
			return
		}
		var in struct {
			KeyId, Plaintext, CiphertextBlob string //nolint:revive // as AWS spells it
			EncryptionContext                map[string]string
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || len(in.EncryptionContext["associatedData"]) == 0 {
			refuse(w, http.StatusBadRequest, "ValidationException")
			return
		}
		ad := []byte(in.EncryptionContext["associatedData"])
		out := map[string]any{"KeyId": in.KeyId}
		switch r.Header.Get("X-Amz-Target") {
		case "TrentService.Encrypt":
			plain, _ := base64.StdEncoding.DecodeString(in.Plaintext)
			out["CiphertextBlob"] = k.seal(in.KeyId[len(in.KeyId)-3:], plain, ad)
		case "TrentService.Decrypt":
			sealed, _ := base64.StdEncoding.DecodeString(in.CiphertextBlob)
			plain, err := k.open(in.KeyId[len(in.KeyId)-3:], sealed, ad)
			if err != nil {
				refuse(w, http.StatusBadRequest, "InvalidCiphertextException")
				return
			}
			out["Plaintext"] = plain
		default:
			refuse(w, http.StatusBadRequest, "UnknownOperationException")
			return
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_ = json.NewEncoder(w).Encode(out)
	}))
	k.end(t, server.Close)
	source := func(url, key string) kek.Source {
		return kek.Through(kek.Source{URI: "aws-kms://arn:aws:kms:eu-west-1:111122223333:key/" + key}, nil, url)
	}
	return provider{keys: k, source: func(key string) kek.Source { return source(server.URL, key) }, absent: source("http://"+nobody, "one"), moods: []mood{forbids, disabled}}
}

// cloud is Google Cloud KMS over gRPC (google/cloud/kms/v1/service.proto), with its checksums.
type cloud struct {
	kmspb.UnimplementedKeyManagementServiceServer
	*keys
}

func checksum(b []byte) *wrapperspb.Int64Value {
	return wrapperspb.Int64(int64(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))))
}

func (c cloud) misbehave(ctx context.Context) error {
	switch {
	case c.is(forbids):
		return status.Error(codes.PermissionDenied, canary)
	case c.is(disabled):
		return status.Error(codes.FailedPrecondition, canary)
	case c.is(fails):
		return status.Error(codes.Internal, canary)
	case c.is(hangs):
		select {
		case <-c.done:
		case <-ctx.Done():
		}
		return status.Error(codes.Unavailable, canary)
	}
	return nil
}

func (c cloud) Encrypt(ctx context.Context, in *kmspb.EncryptRequest) (*kmspb.EncryptResponse, error) {
	if err := c.misbehave(ctx); err != nil {
		return nil, err
	}
	sealed := c.seal(in.Name[len(in.Name)-3:], in.Plaintext, in.AdditionalAuthenticatedData)
	if c.is(floods) {
		sealed = make([]byte, 2<<20)
	}
	out := &kmspb.EncryptResponse{Name: in.Name + "/cryptoKeyVersions/1", Ciphertext: sealed, CiphertextCrc32C: checksum(sealed), VerifiedPlaintextCrc32C: true, VerifiedAdditionalAuthenticatedDataCrc32C: true}
	if c.is(lies) {
		out.CiphertextCrc32C = checksum([]byte(canary))
	}
	return out, nil
}

func (c cloud) Decrypt(ctx context.Context, in *kmspb.DecryptRequest) (*kmspb.DecryptResponse, error) {
	if err := c.misbehave(ctx); err != nil {
		return nil, err
	}
	if in.CiphertextCrc32C.GetValue() != checksum(in.Ciphertext).GetValue() {
		return nil, status.Error(codes.InvalidArgument, canary)
	}
	plain, err := c.open(in.Name[len(in.Name)-3:], in.Ciphertext, in.AdditionalAuthenticatedData)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, canary)
	}
	if c.is(floods) {
		plain = make([]byte, 2<<20)
	}
	out := &kmspb.DecryptResponse{Plaintext: plain, PlaintextCrc32C: checksum(plain)}
	if c.is(lies) {
		out.PlaintextCrc32C = checksum([]byte(canary))
	}
	return out, nil
}

func google(t *testing.T) provider {
	k := newKeys()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	kmspb.RegisterKeyManagementServiceServer(server, cloud{keys: k})
	go func() { _ = server.Serve(l) }()
	k.end(t, server.Stop)
	source := func(addr, key string) kek.Source {
		return kek.ThroughGRPC(kek.Source{URI: "gcp-kms://projects/p/locations/eu/keyRings/r/cryptoKeys/" + key},
			gcpkms.WithTransport(gcpkms.TransportGRPC), gcpkms.WithGoogleAPIClientOptions(option.WithEndpoint(addr), option.WithoutAuthentication(),
				option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials()))))
	}
	return provider{keys: k, source: func(key string) kek.Source { return source(l.Addr().String(), key) }, absent: source(nobody, "one"), moods: []mood{forbids, disabled}}
}

// nobody is an address where nobody listens: no system gives this port to anyone by chance.
const nobody = "127.0.0.1:1"
