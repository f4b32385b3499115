package config

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
)

// checkInternalTLS checks the settings of TLS at the internal listener. Half of
// them is a mistake and never less protection than was meant.
func (s Serve) checkInternalTLS(p *problems) *InternalTLS {
	client := s.InternalClientCA != "" || s.InternalClientSAN != "" || len(s.InternalClientPin) > 0
	switch {
	case s.InternalTLSCert == "" && s.InternalTLSKey == "" && !client:
		return nil
	case s.InternalTLSCert == "" || s.InternalTLSKey == "":
		p.Addf("AS_INTERNAL_TLS_CERT_FILE and AS_INTERNAL_TLS_KEY_FILE belong together, and the settings AS_INTERNAL_TLS_CLIENT_... need both")
		return nil
	case (len(s.InternalClientPin) > 0) == (s.InternalClientCA != "" || s.InternalClientSAN != ""):
		p.Addf("say which resource servers may come to the internal listener: AS_INTERNAL_TLS_CLIENT_SHA256, or AS_INTERNAL_TLS_CLIENT_CA_FILE with AS_INTERNAL_TLS_CLIENT_SAN")
	case len(s.InternalClientPin) == 0 && (s.InternalClientCA == "" || s.InternalClientSAN == ""):
		p.Addf("AS_INTERNAL_TLS_CLIENT_CA_FILE and AS_INTERNAL_TLS_CLIENT_SAN belong together: an authority alone would admit everybody whom it knows")
	}
	out := &InternalTLS{CertFile: s.InternalTLSCert, KeyFile: s.InternalTLSKey, ClientSAN: s.InternalClientSAN}
	for _, text := range s.InternalClientPin {
		pin, err := hex.DecodeString(text)
		if err != nil || len(pin) != sha256.Size {
			p.Addf("AS_INTERNAL_TLS_CLIENT_SHA256: %q is not 64 hexadecimal digits", text)
			continue
		}
		out.Pins = append(out.Pins, [sha256.Size]byte(pin))
	}
	if s.InternalClientCA != "" {
		out.ClientCA = p.authorities("AS_INTERNAL_TLS_CLIENT_CA_FILE", s.InternalClientCA)
	}
	return out
}

// authorities reads certificate authorities from a PEM file.
func (p *problems) authorities(name, file string) *x509.CertPool {
	pem, err := readSmall(file)
	if err != nil {
		p.Addf("cannot read the file that %s names: %v", name, err)
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		p.Addf("%s holds no certificate", name)
	}
	return pool
}
