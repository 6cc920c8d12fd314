package kafka_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/service"
)

// ping connects as a new client does.
func ping(t *testing.T, brokers []string, s kafka.Security) error {
	t.Helper()
	opts, err := s.Options()
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(brokers...))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return client.Ping(ctx)
}

func TestMechanismsOverTLS(t *testing.T) {
	t.Parallel()
	ca := kafkatest.NewAuthority(t)
	for _, mechanism := range []string{kafka.ScramSHA256, kafka.ScramSHA512, kafka.Plain} {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			brokers := kafkatest.StartSecured(t, mechanism, "right, of=course", ca.Server(t))
			s := kafka.Security{TLS: true, CAFile: ca.CAFile, Mechanism: mechanism, Username: kafkatest.User,
				PasswordFile: write(t, "password", []byte("right, of=course\n"))}
			if err := ping(t, brokers, s); err != nil {
				t.Errorf("right password: %v", err)
			}
			wrong := s
			wrong.PasswordFile = write(t, "password", []byte("hunter2"))
			err := ping(t, brokers, wrong)
			if err == nil || mechanism == kafka.Plain && !strings.Contains(err.Error(), kafkatest.Refusal) {
				t.Errorf("wrong password: %v", err)
			} else if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error tells the password: %v", err)
			}
			wrong = s
			wrong.CAFile = kafkatest.NewAuthority(t).CAFile
			if err := ping(t, brokers, wrong); err == nil || !strings.Contains(err.Error(), "certificate") {
				t.Errorf("wrong CA: %v", err)
			}
			wrong = s
			wrong.CAFile = ""
			if err := ping(t, brokers, wrong); err == nil || !strings.Contains(err.Error(), "certificate") {
				t.Errorf("system roots: %v", err)
			}
		})
	}
}

func TestScramWithoutTLS(t *testing.T) {
	t.Parallel()
	s := kafka.Security{Mechanism: kafka.ScramSHA512, Username: kafkatest.User, PasswordFile: write(t, "password", []byte("p"))}
	if err := ping(t, kafkatest.StartSecured(t, kafka.ScramSHA512, "p", nil), s); err != nil {
		t.Error(err)
	}
}

// TestClientCertificate: the client sends its certificate on request, and reads it again for each
// connection.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	ca := kafkatest.NewAuthority(t)
	server := ca.Server(t)
	server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	server.ClientCAs.AddCert(ca.Cert)
	names := make(chan string, 100)
	server.VerifyConnection = func(cs tls.ConnectionState) error {
		names <- cs.PeerCertificates[0].Subject.CommonName
		return nil
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(server))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)

	s := kafka.Security{TLS: true, CAFile: ca.CAFile}
	if err := ping(t, cluster.ListenAddrs(), s); err == nil {
		t.Error("accepted without a certificate")
	}
	s.CertFile, s.KeyFile = ca.Issue(t, "first")
	opts, err := s.Options()
	if err != nil {
		t.Fatal(err)
	}
	connect := func(want string) {
		t.Helper()
		client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(cluster.ListenAddrs()...))...)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if err := client.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := <-names; got != want {
			t.Errorf("the broker saw %q, want %q", got, want)
		}
		for len(names) > 0 {
			<-names
		}
	}
	connect("first")
	other := kafka.Security{}
	other.CertFile, other.KeyFile = ca.Issue(t, "second")
	copyFile(t, other.CertFile, s.CertFile)
	copyFile(t, other.KeyFile, s.KeyFile)
	connect("second")
}

func TestSecurityFromEnv(t *testing.T) {
	t.Parallel()
	ca := kafkatest.NewAuthority(t)
	cert, key := ca.Issue(t, "client")
	password := write(t, "password", []byte("secret"))
	read := func(vars map[string]string) (kafka.Security, error) {
		env := service.NewEnv(func(name string) (string, bool) { v, ok := vars[name]; return v, ok })
		s := kafka.SecurityFromEnv(env)
		return s, env.Err()
	}
	full := map[string]string{
		"KAFKA_TLS": "true", "KAFKA_TLS_CA_FILE": ca.CAFile, "KAFKA_TLS_CERT_FILE": cert, "KAFKA_TLS_KEY_FILE": key,
		"KAFKA_SASL_MECHANISM": "SCRAM-SHA-512", "KAFKA_SASL_USERNAME": kafkatest.User, "KAFKA_SASL_PASSWORD_FILE": password,
	}
	got, err := read(full)
	want := kafka.Security{TLS: true, CAFile: ca.CAFile, CertFile: cert, KeyFile: key,
		Mechanism: kafka.ScramSHA512, Username: kafkatest.User, PasswordFile: password}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	if got, err := read(nil); got != (kafka.Security{}) || err != nil {
		t.Errorf("empty environment: %+v, %v", got, err)
	}
	for name, tt := range map[string]struct {
		change map[string]string
		want   []string
	}{
		"mechanism":        {map[string]string{"KAFKA_SASL_MECHANISM": "GSSAPI"}, []string{`KAFKA_SASL_MECHANISM must be SCRAM-SHA-256, SCRAM-SHA-512 or PLAIN, not "GSSAPI"`}},
		"no mechanism":     {map[string]string{"KAFKA_SASL_MECHANISM": ""}, []string{"KAFKA_SASL_MECHANISM is required"}},
		"no user":          {map[string]string{"KAFKA_SASL_USERNAME": ""}, []string{"KAFKA_SASL_USERNAME is required"}},
		"no password":      {map[string]string{"KAFKA_SASL_PASSWORD_FILE": ""}, []string{"KAFKA_SASL_PASSWORD_FILE is required"}},
		"password away":    {map[string]string{"KAFKA_SASL_PASSWORD_FILE": password + "x"}, []string{"KAFKA_SASL_PASSWORD_FILE cannot be used: open "}},
		"password empty":   {map[string]string{"KAFKA_SASL_PASSWORD_FILE": write(t, "empty", []byte("\n"))}, []string{"KAFKA_SASL_PASSWORD_FILE", "is empty"}},
		"no key":           {map[string]string{"KAFKA_TLS_KEY_FILE": ""}, []string{"KAFKA_TLS_KEY_FILE is required"}},
		"no certificate":   {map[string]string{"KAFKA_TLS_CERT_FILE": ""}, []string{"KAFKA_TLS_CERT_FILE is required"}},
		"pair does not":    {map[string]string{"KAFKA_TLS_KEY_FILE": cert}, []string{"KAFKA_TLS_CERT_FILE cannot be used with KAFKA_TLS_KEY_FILE"}},
		"CA is none":       {map[string]string{"KAFKA_TLS_CA_FILE": password}, []string{"KAFKA_TLS_CA_FILE", "no PEM certificate"}},
		"TLS off":          {map[string]string{"KAFKA_TLS": "false"}, []string{"KAFKA_TLS_CA_FILE is set", "KAFKA_TLS_CERT_FILE is set", "KAFKA_TLS_KEY_FILE is set"}},
		"TLS unclear":      {map[string]string{"KAFKA_TLS": "yes"}, []string{"KAFKA_TLS must be"}},
		"PLAIN and no TLS": {map[string]string{"KAFKA_TLS": "", "KAFKA_SASL_MECHANISM": "PLAIN"}, []string{"must not be PLAIN without KAFKA_TLS=true"}},
	} {
		vars := map[string]string{}
		for _, from := range []map[string]string{full, tt.change} {
			for k, v := range from {
				vars[k] = v
			}
		}
		s, err := read(vars)
		for _, part := range tt.want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v does not say %q", name, err, part)
			}
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells the password: %v", name, err)
		}
		if name == "TLS unclear" { // the default, false, remains
			continue
		}
		if _, err := s.Options(); err == nil {
			t.Errorf("%s: Options returns no error", name)
		}
	}
}

func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	rewrite(t, path, content)
	return path
}

func rewrite(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	rewrite(t, to, b)
}
