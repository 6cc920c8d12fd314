package schema

import (
	"errors"
	"fmt"
	"net/http"

	"eventshop.example/pkg/credentials"
)

// Access configures how a registry is secured. The zero value is for a registry without
// authentication, whose certificate the system's roots verify when its URL is https.
type Access struct {
	Username     string // SCHEMA_REGISTRY_USERNAME: of HTTP basic authentication; default none
	PasswordFile string // SCHEMA_REGISTRY_PASSWORD_FILE: read for each request
	CAFile       string // SCHEMA_REGISTRY_CA_FILE: PEM, read once; default the system's roots
}

// Check returns every mistake with the name of its environment variable, or nil when there is none.
func (a Access) Check() error {
	_, err := a.transport()
	return err
}

// WithAccess sends the requests with the user's password, and verifies the registry's certificate
// as a configures. An Access that Check refuses fails every request, with the reason.
func WithAccess(a Access) Option {
	return func(c *http.Client) {
		rt, err := a.transport()
		if err != nil {
			rt = broken{err}
		}
		c.Transport = rt
	}
}

func (a Access) transport() (http.RoundTripper, error) {
	if a == (Access{}) {
		return http.DefaultTransport, nil
	}
	var problems []error
	tlsConfig, err := credentials.TLS(a.CAFile)
	if err != nil {
		problems = append(problems, fmt.Errorf("environment variable SCHEMA_REGISTRY_CA_FILE cannot be used: %w", err))
	}
	switch {
	case a.Username == "" && a.PasswordFile == "":
	case a.Username == "":
		problems = append(problems, errors.New("environment variable SCHEMA_REGISTRY_USERNAME is required with a password file"))
	case a.PasswordFile == "":
		problems = append(problems, errors.New("environment variable SCHEMA_REGISTRY_PASSWORD_FILE is required with a user name"))
	default:
		if _, err := credentials.Password(a.PasswordFile); err != nil {
			problems = append(problems, fmt.Errorf("environment variable SCHEMA_REGISTRY_PASSWORD_FILE cannot be used: %w", err))
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	rt := http.DefaultTransport.(*http.Transport).Clone()
	rt.TLSClientConfig = tlsConfig
	if a.Username == "" {
		return rt, nil
	}
	return basicAuth{a, rt}, nil
}

// basicAuth adds the user and the current password of the file.
type basicAuth struct {
	Access
	next http.RoundTripper
}

func (b basicAuth) RoundTrip(req *http.Request) (*http.Response, error) {
	password, err := credentials.Password(b.PasswordFile)
	if err != nil {
		return nil, fmt.Errorf("read the password of the schema registry: %w", err)
	}
	req = req.Clone(req.Context()) // a RoundTripper may not change its request
	req.SetBasicAuth(b.Username, password)
	return b.next.RoundTrip(req)
}

// broken fails every request with an error.
type broken struct{ err error }

func (b broken) RoundTrip(*http.Request) (*http.Response, error) { return nil, b.err }
