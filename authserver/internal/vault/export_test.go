package vault

import "context"

// SealV1 seals as versions before format 2 did.
func (v *Vault) SealV1(ctx context.Context, b Binding, plaintext []byte) ([]byte, error) {
	id, err := v.Active(ctx, b.Tenant)
	if err != nil {
		return nil, err
	}
	v.mu.RLock()
	key := v.keys[b.Tenant].byID[id]
	v.mu.RUnlock()
	sealed, err := key.direct.Encrypt(plaintext, b.associated(1, id))
	return append(append([]byte{1}, id[:]...), sealed...), err
}
