//go:build !linux

package outbound_test

import "testing"

func inNamespace(t *testing.T) {
	t.Log("network namespaces are Linux's: connections were counted at the dialer only")
}

func onWire(t *testing.T) *counter {
	t.Fatal("network namespaces are Linux's")
	return nil
}
