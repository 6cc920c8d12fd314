// Package kafka holds how the services' Kafka clients are secured: TLS, SASL, and the
// variables of the environment that say so.
//
// The password file and the client certificate are read again for every connection, so
// both can be rotated while a service runs; the CA file is read once. A broker that refuses
// the credentials is an error of the request like any other: clients show it as the reason
// why they are not ready, and try again.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"eventshop.example/pkg/credentials"
	"eventshop.example/pkg/service"
)

// Mechanisms of SASL, as the brokers name them.
const (
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
	Plain       = "PLAIN"
)

// Security says how to connect to the brokers. The zero value is plain text without a user.
type Security struct {
	TLS      bool   // KAFKA_TLS: TLS 1.2 or newer, default false
	CAFile   string // KAFKA_TLS_CA_FILE: PEM; default the system's roots
	CertFile string // KAFKA_TLS_CERT_FILE: PEM of the client's certificate, where brokers ask for one
	KeyFile  string // KAFKA_TLS_KEY_FILE: PEM of its key

	Mechanism    string // KAFKA_SASL_MECHANISM: SCRAM-SHA-256, SCRAM-SHA-512, or PLAIN with TLS only; default none
	Username     string // KAFKA_SASL_USERNAME
	PasswordFile string // KAFKA_SASL_PASSWORD_FILE
}

// SecurityFromEnv reads the variables and checks them and the files they name; mistakes are
// noted in env.
func SecurityFromEnv(env *service.Env) Security {
	s := Security{
		TLS:          env.Bool("KAFKA_TLS", false),
		CAFile:       env.String("KAFKA_TLS_CA_FILE", ""),
		CertFile:     env.String("KAFKA_TLS_CERT_FILE", ""),
		KeyFile:      env.String("KAFKA_TLS_KEY_FILE", ""),
		Mechanism:    env.String("KAFKA_SASL_MECHANISM", ""),
		Username:     env.String("KAFKA_SASL_USERNAME", ""),
		PasswordFile: env.String("KAFKA_SASL_PASSWORD_FILE", ""),
	}
	_, problems := s.options()
	for _, p := range problems {
		env.Fail(p.variable, p.text)
	}
	return s
}

// Options returns the options of a client, without its seed brokers. The error names every
// mistake by its variable.
func (s Security) Options() ([]kgo.Opt, error) {
	opts, problems := s.options()
	var all []error
	for _, p := range problems {
		all = append(all, fmt.Errorf("%s %s", p.variable, p.text))
	}
	if len(all) > 0 {
		return nil, fmt.Errorf("security of Kafka clients: %w", errors.Join(all...))
	}
	return opts, nil
}

// problem is what is wrong with a variable, in words that follow its name.
type problem struct{ variable, text string }

func (s Security) options() (opts []kgo.Opt, problems []problem) {
	fail := func(variable, format string, args ...any) {
		problems = append(problems, problem{variable, fmt.Sprintf(format, args...)})
	}
	if s.TLS {
		opts = append(opts, s.dialTLS(fail)...)
	} else {
		for variable, file := range map[string]string{
			"KAFKA_TLS_CA_FILE": s.CAFile, "KAFKA_TLS_CERT_FILE": s.CertFile, "KAFKA_TLS_KEY_FILE": s.KeyFile,
		} {
			if file != "" {
				fail(variable, "is set, and KAFKA_TLS is not true")
			}
		}
	}
	opts = append(opts, s.authenticate(fail)...)
	slices.SortFunc(problems, func(a, b problem) int { return strings.Compare(a.variable, b.variable) })
	return opts, problems
}

func (s Security) dialTLS(fail func(variable, format string, args ...any)) []kgo.Opt {
	cfg, err := credentials.TLS(s.CAFile)
	if err != nil {
		fail("KAFKA_TLS_CA_FILE", "cannot be used: %v", err)
		return nil
	}
	switch {
	case s.CertFile == "" && s.KeyFile == "":
	case s.CertFile == "":
		fail("KAFKA_TLS_CERT_FILE", "is required with KAFKA_TLS_KEY_FILE")
	case s.KeyFile == "":
		fail("KAFKA_TLS_KEY_FILE", "is required with KAFKA_TLS_CERT_FILE")
	default:
		if err := credentials.Present(cfg, s.CertFile, s.KeyFile); err != nil {
			fail("KAFKA_TLS_CERT_FILE", "cannot be used with KAFKA_TLS_KEY_FILE: %v", err)
		}
	}
	return []kgo.Opt{kgo.DialTLSConfig(cfg)}
}

func (s Security) authenticate(fail func(variable, format string, args ...any)) []kgo.Opt {
	if s.Mechanism == "" {
		if s.Username != "" || s.PasswordFile != "" {
			fail("KAFKA_SASL_MECHANISM", "is required with a user name or a password file")
		}
		return nil
	}
	if s.Username == "" {
		fail("KAFKA_SASL_USERNAME", "is required with KAFKA_SASL_MECHANISM")
	}
	if s.PasswordFile == "" {
		fail("KAFKA_SASL_PASSWORD_FILE", "is required with KAFKA_SASL_MECHANISM")
	} else if _, err := credentials.Password(s.PasswordFile); err != nil {
		fail("KAFKA_SASL_PASSWORD_FILE", "cannot be used: %v", err)
	}
	mechanism := s.mechanism()
	switch {
	case mechanism == nil:
		fail("KAFKA_SASL_MECHANISM", "must be %s, %s or %s, not %q", ScramSHA256, ScramSHA512, Plain, s.Mechanism)
		return nil
	case s.Mechanism == Plain && !s.TLS:
		fail("KAFKA_SASL_MECHANISM", "must not be %s without KAFKA_TLS=true: everybody on the way could read the password", Plain)
	}
	return []kgo.Opt{kgo.SASL(mechanism)}
}

// mechanism reads the password when a connection authenticates. nil: it is none of ours.
func (s Security) mechanism() sasl.Mechanism {
	scramAuth := func(context.Context) (auth scram.Auth, err error) {
		auth.User = s.Username
		auth.Pass, err = s.password()
		return auth, err
	}
	switch s.Mechanism {
	case ScramSHA256:
		return scram.Sha256(scramAuth)
	case ScramSHA512:
		return scram.Sha512(scramAuth)
	case Plain:
		return plain.Plain(func(context.Context) (auth plain.Auth, err error) {
			auth.User = s.Username
			auth.Pass, err = s.password()
			return auth, err
		})
	}
	return nil
}

func (s Security) password() (string, error) {
	password, err := credentials.Password(s.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("read the password of Kafka user %q: %w", s.Username, err)
	}
	return password, nil
}
