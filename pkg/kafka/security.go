// Package kafka configures the security of the services' Kafka clients: TLS, SASL, and the
// environment variables for both.
//
// The password file and the client certificate are read again for every connection, so both can be
// rotated while a service runs; the CA file is read once. A broker that refuses the credentials
// causes an ordinary error of the request: clients report it as the reason why they are not ready,
// and try again.
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

// Security configures the connections to the brokers. The zero value is plain text without a user.
// [Security.Settings] describes the fields.
type Security struct {
	TLS      bool
	CAFile   string
	CertFile string
	KeyFile  string

	Mechanism    string
	Username     string
	PasswordFile string
}

// Settings declares the variables of the environment.
func (s *Security) Settings() []service.Setting {
	return []service.Setting{
		service.Bool("KAFKA_TLS", &s.TLS, false, "connects by TLS 1.2 or newer"),
		service.File("KAFKA_TLS_CA_FILE", &s.CAFile, "the system's roots", "PEM; the authorities that a broker's certificate may come from"),
		service.File("KAFKA_TLS_CERT_FILE", &s.CertFile, "none", "PEM; the client's certificate, where brokers ask for one"),
		service.File("KAFKA_TLS_KEY_FILE", &s.KeyFile, "none", "PEM; the key of that certificate"),
		service.Text("KAFKA_SASL_MECHANISM", &s.Mechanism, "none", "`SCRAM-SHA-256`, `SCRAM-SHA-512`, or `PLAIN` with TLS only"),
		service.Text("KAFKA_SASL_USERNAME", &s.Username, "none", "required with a mechanism"),
		service.File("KAFKA_SASL_PASSWORD_FILE", &s.PasswordFile, "none", "required with a mechanism; read for each connection"),
	}
}

// SecurityFromEnv reads the variables, and checks them and the files that they name. It adds the
// mistakes to env.
func SecurityFromEnv(env *service.Env) Security {
	var s Security
	env.Read(s.Settings())
	_, problems := s.options()
	for _, p := range problems {
		env.Fail(p.variable, p.text)
	}
	return s
}

// Check returns an error that names every mistake by its variable, including mistakes in the files,
// or nil when there is none.
func (s *Security) Check() error {
	_, problems := s.options()
	var all []error
	for _, p := range problems {
		all = append(all, fmt.Errorf("environment variable %s %s", p.variable, p.text))
	}
	return errors.Join(all...)
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

// problem is a mistake in a variable. text follows the variable's name.
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

// mechanism returns the SASL mechanism, which reads the password when a connection authenticates.
// It returns nil for an unknown name.
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
