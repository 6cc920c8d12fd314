package kafka

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Cluster is where clients find Kafka and how they connect to it.
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

// Env returns the variables from which [SecurityFromEnv] reads the same, those without a
// value included, so that they win over any that are set already.
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
