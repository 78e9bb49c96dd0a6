package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"path/filepath"
	"time"
)

// How long certificates are good, and how long before its end one is made anew: a
// machine that is started anew each month never meets the end of one.
const (
	authorityLife = 10 * 365 * 24 * time.Hour
	serverLife    = 365 * 24 * time.Hour
	renewBefore   = 60 * 24 * time.Hour
	clocksDiffer  = time.Hour
)

type authority struct {
	cert *x509.Certificate
	key  crypto.PrivateKey
	pem  []byte
}

// authority reads the authority, or makes it.
func (m *maker) authority() (*authority, error) {
	certFile, keyFile := filepath.Join(AuthorityDir, AuthorityFile), filepath.Join(AuthorityDir, authorityKey)
	if pair, text, err := m.pair(certFile, keyFile); err != nil || pair != nil {
		if err != nil {
			return nil, err
		}
		return &authority{cert: pair.Leaf, key: pair.PrivateKey, pem: text}, nil
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "essworker"}, NotAfter: time.Now().Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if err := m.issue(template, nil, certFile, keyFile); err != nil {
		return nil, err
	}
	return m.authority()
}

// server makes a server's certificate unless it has one that will do. Clients see it,
// and the other servers, both when this one calls them and when they call.
func (m *maker) server(ca *authority, name string) error {
	certFile, keyFile := filepath.Join(name, serverCert), filepath.Join(name, serverKey)
	pair, _, err := m.pair(certFile, keyFile)
	if err != nil {
		return err
	}
	if pair != nil && pair.Leaf.CheckSignatureFrom(ca.cert) == nil && pair.Leaf.VerifyHostname(name) == nil {
		return nil
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(serverLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		// By a port that is shown to this machine only.
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = append(template.IPAddresses, ip)
	} else {
		template.DNSNames = append(template.DNSNames, name)
	}
	return m.issue(template, ca, certFile, keyFile)
}

// pair reads a certificate and its key: nothing if one is missing, they do not belong
// together, as after a kill between two files, or the certificate is about to end.
func (m *maker) pair(certFile, keyFile string) (pair *tls.Certificate, certText []byte, err error) {
	certText, err = m.read(certFile)
	if err != nil {
		return nil, nil, err
	}
	keyText, err := m.read(keyFile)
	if err != nil {
		return nil, nil, err
	}
	read, err := tls.X509KeyPair(certText, keyText)
	if err != nil || time.Until(read.Leaf.NotAfter) < renewBefore {
		return nil, nil, nil //nolint:nilerr // whatever is wrong with it, it is made anew
	}
	return &read, certText, nil
}

// issue writes a new key and its certificate, signed by the authority or, without one,
// by itself.
func (m *maker) issue(template *x509.Certificate, ca *authority, certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	signer := &authority{cert: template, key: key}
	if ca != nil {
		signer = ca
	}
	template.NotBefore = time.Now().Add(-clocksDiffer)
	cert, err := x509.CreateCertificate(rand.Reader, template, signer.cert, key.Public(), signer.key)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := m.write(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})); err != nil {
		return err
	}
	return m.write(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
}
