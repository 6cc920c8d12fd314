package apache

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Secure is a listener with TLS and SASL/SCRAM.
type Secure struct {
	Port int // on 127.0.0.1
	// KeyStore is a PEM file with the server's private key (PKCS #8, not encrypted) and its
	// certificates, its own first.
	KeyStore string
	Users    []User // created when the storage is formatted
}

// User is a user that may log in.
type User struct {
	Mechanism      string // SCRAM-SHA-256 or SCRAM-SHA-512
	Name, Password string // without , [ ] and =, which Kafka's tool cannot accept
}

func (s *Secure) users() []User {
	if s == nil {
		return nil
	}
	return s.Users
}

func (s *Secure) settings() map[string]string {
	if s == nil {
		return nil
	}
	return map[string]string{
		"ssl.keystore.type":                                   "PEM",
		"ssl.keystore.location":                               s.KeyStore,
		"sasl.enabled.mechanisms":                             "SCRAM-SHA-256,SCRAM-SHA-512",
		"listener.name.secure.ssl.client.auth":                "none",
		"listener.name.secure.scram-sha-256.sasl.jaas.config": scramLogin,
		"listener.name.secure.scram-sha-512.sasl.jaas.config": scramLogin,
	}
}

// scramLogin makes the listener look up users in the cluster's metadata.
const scramLogin = "org.apache.kafka.common.security.scram.ScramLoginModule required;"

// properties formats a Java properties file, in which a backslash escapes.
func properties(settings map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(settings)) {
		b.WriteString(k + "=" + strings.ReplaceAll(settings[k], `\`, `\\`) + "\n")
	}
	return b.String()
}

func kafkaUUID(id uuid.UUID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }
