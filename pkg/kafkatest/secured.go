package kafkatest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"eventshop.example/pkg/event"
)

// Authority is a certificate authority of a test.
type Authority struct {
	CAFile string // its certificate, PEM
	Cert   *x509.Certificate
	key    *ecdsa.PrivateKey
}

// NewAuthority creates an authority for certificates that are valid for an hour.
func NewAuthority(t testing.TB) Authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return Authority{Cert: cert, key: key, CAFile: write(t, "ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

// Issue returns the PEM files of a certificate for 127.0.0.1, as a server and as a client.
func (a Authority) Issue(t testing.TB, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.Cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, name+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		write(t, name+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

// Server returns the settings of a broker whose certificate the authority has signed.
func (a Authority) Server(t testing.TB) *tls.Config {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(a.Issue(t, "broker"))
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
}

// KeyStore returns a PEM file with the key and the certificate of a server in the form that Apache
// Kafka requires: in one file, the key first.
func (a Authority) KeyStore(t testing.TB) string {
	t.Helper()
	certFile, keyFile := a.Issue(t, "broker")
	var both []byte
	for _, file := range []string{keyFile, certFile} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, b...)
	}
	return write(t, "keystore.pem", both)
}

// Refusal is Apache Kafka's error text for a wrong password.
const Refusal = "Authentication failed: Invalid username or password"

// User is the user that the broker of [StartSecured] knows.
const User = "tester"

// StartSecured runs a broker that uses TLS, unless server is nil, and requires [User] with the given
// password. mechanism is a SASL mechanism: "PLAIN", "SCRAM-SHA-256" or "SCRAM-SHA-512".
// On a wrong password kfake closes the connection without a reason; for PLAIN this broker answers
// as Apache Kafka does. The topics get their partitions, not their settings.
func StartSecured(t testing.TB, mechanism, password string, server *tls.Config, topics ...event.Topic) (brokers []string) {
	t.Helper()
	opts := []kfake.Opt{kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser(mechanism, User, password)}
	if server != nil {
		opts = append(opts, kfake.TLS(server))
	}
	for _, topic := range topics {
		opts = append(opts, kfake.SeedTopics(max(topic.Partitions, 1), topic.Name))
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatalf("start the broker: %v", err)
	}
	t.Cleanup(cluster.Close)
	if mechanism != "PLAIN" {
		return cluster.ListenAddrs()
	}
	cluster.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		req := r.(*kmsg.SASLAuthenticateRequest)
		if string(req.SASLAuthBytes) == "\x00"+User+"\x00"+password {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		resp.ErrorCode, resp.ErrorMessage = kerr.SaslAuthenticationFailed.Code, kmsg.StringPtr(Refusal)
		return resp, nil, true
	})
	return cluster.ListenAddrs()
}

func write(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
