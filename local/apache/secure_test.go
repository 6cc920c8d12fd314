package apache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/kafkatest"
)

// TestTLSAndSCRAM: the real broker accepts the services' security settings, and errors are
// distinguished.
func TestTLSAndSCRAM(t *testing.T) {
	t.Parallel()
	n := node(t)
	ca := kafkatest.NewAuthority(t)
	n.Secure = &Secure{Port: freePort(t), KeyStore: ca.KeyStore(t), Users: []User{
		{Mechanism: kafka.ScramSHA512, Name: "order", Password: "right-512"},
		{Mechanism: kafka.ScramSHA256, Name: "payment", Password: "right-256"},
	}}
	start(t, n)

	password := func(text string) string {
		file := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good := kafka.Security{TLS: true, CAFile: ca.CAFile, Mechanism: kafka.ScramSHA512, Username: "order", PasswordFile: password("right-512")}
	sha256, wrong, stranger, plain, roots := good, good, good, good, good
	sha256.Mechanism, sha256.Username, sha256.PasswordFile = kafka.ScramSHA256, "payment", password("right-256")
	wrong.PasswordFile = password("wrong")
	stranger.Username = "nobody"
	plain.TLS, plain.CAFile = false, ""
	roots.CAFile = kafkatest.NewAuthority(t).CAFile
	refused := func(err error) bool { return errors.Is(err, kerr.SaslAuthenticationFailed) }
	for name, c := range map[string]struct {
		security kafka.Security
		want     func(error) bool
	}{
		"SCRAM-SHA-512":         {good, func(err error) bool { return err == nil }},
		"SCRAM-SHA-256":         {sha256, func(err error) bool { return err == nil }},
		"wrong password":        {wrong, refused},
		"unknown user":          {stranger, refused},
		"plain text":            {plain, func(err error) bool { return err != nil && !refused(err) }},
		"somebody else's roots": {roots, func(err error) bool { return err != nil && !refused(err) }},
	} {
		opts, err := c.security.Options()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(fmt.Sprintf("127.0.0.1:%d", n.Secure.Port)), kgo.RequestRetries(0))...)
		if err != nil {
			t.Fatal(err)
		}
		err = client.Ping(t.Context())
		client.Close()
		if t.Log(name, "→", err); !c.want(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
