// Package credentials reads passwords and certificates from files, as secrets are mounted into
// containers. It caches nothing: a read after a rotation returns the new secret. No error and no
// log line contains a secret, only the name of its file.
package credentials

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxSecret bounds the size of a read, so that a path to a wrong file is not read into memory.
const maxSecret = 64 << 10

// Password returns the content of a file, without the line end that editors add. Other spaces
// belong to the password. A file that is empty or larger than 64 KiB is an error.
func Password(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return "", err
	case len(b) > maxSecret:
		return "", fmt.Errorf("%s is larger than a password", file)
	}
	password := strings.TrimRight(string(b), "\r\n")
	if password == "" {
		return "", fmt.Errorf("%s is empty", file)
	}
	return password, nil
}

// TLS returns the settings of a client: TLS 1.2 or newer, servers verified against the PEM
// certificates in caFile, or the system's when it is "".
func TLS(caFile string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", caFile)
	}
	return cfg, nil
}

// Present makes cfg send a client certificate when a server asks for one. The PEM files are read
// now, to detect mistakes, and again for each connection.
func Present(cfg *tls.Config, certFile, keyFile string) error {
	if _, err := tls.LoadX509KeyPair(certFile, keyFile); err != nil {
		return err
	}
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, fmt.Errorf("read the client certificate: %w", err)
		}
		return &pair, nil
	}
	return nil
}
