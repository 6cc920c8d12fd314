package kafka

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Cluster contains the addresses of Kafka and how clients connect to it.
type Cluster struct {
	Brokers  []string // seed brokers, host:port
	Security Security
}

// Client returns a client with further options. Errors: those of [Security.Options].
func (c Cluster) Client(opts ...kgo.Opt) (*kgo.Client, error) {
	all, err := c.Security.Options()
	if err != nil {
		return nil, err
	}
	return kgo.NewClient(slices.Concat([]kgo.Opt{kgo.SeedBrokers(c.Brokers...)}, all, opts)...)
}

// Env returns the variables from which [SecurityFromEnv] reads the same values. It includes those
// without a value, so that they override variables that are set already.
func (s Security) Env() map[string]string {
	env := map[string]string{
		"KAFKA_TLS_CA_FILE": s.CAFile, "KAFKA_TLS_CERT_FILE": s.CertFile, "KAFKA_TLS_KEY_FILE": s.KeyFile,
		"KAFKA_SASL_MECHANISM": s.Mechanism, "KAFKA_SASL_USERNAME": s.Username, "KAFKA_SASL_PASSWORD_FILE": s.PasswordFile,
		"KAFKA_TLS": "",
	}
	if s.TLS {
		env["KAFKA_TLS"] = "true"
	}
	return env
}
