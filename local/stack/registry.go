package stack

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"eventshop.example/ops/eventshop"
	"eventshop.example/pkg/schema"
)

// RegistrySource is the kind of a stack's schema registry: [OwnRegistry], or the URL of an external
// one. A URL given by a user may contain a user name and a password; String leaves them out, and
// state.json never has them.
type RegistrySource string

// OwnRegistry is the registry in this program.
const OwnRegistry RegistrySource = "embedded"

// ParseRegistrySource parses user input. It returns an error for anything that is neither the known
// word nor the URL of a registry. The error does not repeat the text, which may contain a password.
func ParseRegistrySource(text string) (RegistrySource, error) {
	if RegistrySource(text) == OwnRegistry {
		return OwnRegistry, nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return "", errors.New("it is neither embedded nor the URL of a schema registry, such as http://localhost:8081")
	case u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("the URL of a schema registry has neither a query nor a fragment")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return RegistrySource(u.String()), nil
}

// External reports whether the stack uses a registry that it does not run.
func (r RegistrySource) External() bool { return r != "" && r != OwnRegistry }

func (r RegistrySource) String() string {
	if !r.External() {
		return string(OwnRegistry)
	}
	return eventshop.WithoutUser(string(r))
}

// settleRegistry applies the choice of a schema registry. A stack keeps its first choice: the ids
// in its records are that registry's. Its access settings may change, for example a password's
// file.
func (s *Stack) settleRegistry(chosen RegistrySource, access schema.Access) error {
	f := &s.file
	if f.Compose {
		if chosen != "" {
			return errors.New("in containers the schema registry is that of deploy/compose.yaml; --registry and SHOP_REGISTRY are for a shop of programs")
		}
		return nil
	}
	if chosen == "" {
		chosen = f.RegistrySource
	}
	if s.Known() && chosen.String() != f.RegistrySource.String() {
		return fmt.Errorf("the schema ids in this shop's records are those of the registry %q; to begin anew with %q: shop down, shop wipe", f.RegistrySource, chosen)
	}
	if !chosen.External() {
		f.RegistrySource = ""
		return nil
	}
	given, err := url.Parse(string(chosen))
	if err != nil {
		return errors.New("the URL of the schema registry cannot be read")
	}
	if given.User != nil {
		if access, err = s.admit(given.User, access); err != nil {
			return err
		}
	}
	f.RegistrySource = RegistrySource(chosen.String())
	if access != (schema.Access{}) {
		f.RegistryAccess = access
	}
	if err := f.RegistryAccess.Check(); err != nil {
		return fmt.Errorf("access to the schema registry: %w", err)
	}
	return nil
}

// registryPassword returns the path of the file that [Stack.admit] writes.
func (s *Stack) registryPassword() string { return filepath.Join(s.DataDir(Registry), "password") }

// admit converts the user in a registry's URL to settings of the services: a name, and a file with
// the password. Logs and messages contain the URL, which must contain neither.
func (s *Stack) admit(user *url.Userinfo, access schema.Access) (schema.Access, error) {
	if access.Username != "" || access.PasswordFile != "" {
		return access, errors.New("the user of the schema registry is given twice: in its URL, and by SCHEMA_REGISTRY_USERNAME or SCHEMA_REGISTRY_PASSWORD_FILE")
	}
	password, ok := user.Password()
	if user.Username() == "" || !ok || password == "" {
		return access, errors.New("the URL of the schema registry needs both a user and a password, or neither")
	}
	access.Username, access.PasswordFile = user.Username(), s.registryPassword()
	if err := os.MkdirAll(s.DataDir(Registry), 0o700); err != nil {
		return access, fmt.Errorf("keep the password of the schema registry: %w", err)
	}
	if err := os.WriteFile(access.PasswordFile, []byte(password), 0o600); err != nil {
		return access, fmt.Errorf("keep the password of the schema registry: %w", err)
	}
	return access, nil
}

// givenRegistry checks that an external registry answers.
func (s *Stack) givenRegistry(ctx context.Context) error {
	if !s.Elsewhere(Registry) {
		return nil
	}
	if err := s.askRegistry(ctx); err != nil {
		return fmt.Errorf("the given schema registry at %s does not answer as one: %w", s.file.RegistrySource, err)
	}
	return nil
}

func (s *Stack) askRegistry(ctx context.Context) error {
	return eventshop.Registry{URL: s.file.URL[Registry], Access: s.file.RegistryAccess}.Answers(ctx)
}

// The settings by which a service reaches its registry.
const (
	registryURL      = "SCHEMA_REGISTRY_URL"
	registryUser     = "SCHEMA_REGISTRY_USERNAME"
	registryPassword = "SCHEMA_REGISTRY_PASSWORD_FILE"
	registryCA       = "SCHEMA_REGISTRY_CA_FILE"
)

// RegistryOf returns the registry that a service uses: the stack's, or one that its own settings
// name. Programs that decode a service's records must use the same registry, because each registry
// has its own ids. It returns an error if processes of the service use different registries.
func (f File) RegistryOf(service string) (eventshop.Registry, error) {
	first := f.registryOf(service, service)
	for i := 2; i <= max(1, f.Replicas[service]); i++ {
		name := replica(service, i)
		if r := f.registryOf(service, name); r.URL != first.URL {
			return eventshop.Registry{}, fmt.Errorf("%s asks the schema registry %s and %s asks %s: records of one topic have ids of both; give the setting to the service, --env %s.%s=…",
				service, first, name, r, service, registryURL)
		}
	}
	return first, nil
}

// registryOf reads the settings of a process as its program does. Later values in the environment
// that the runner builds win.
func (f File) registryOf(service, process string) eventshop.Registry {
	base := f.registryEnv()
	lookup := func(name string) string {
		for _, vars := range []map[string]string{f.Env[process], f.Env[service], base} {
			if v, ok := vars[name]; ok {
				return v
			}
		}
		if f.Compose {
			return "" // containers inherit no environment
		}
		return os.Getenv(name)
	}
	r := eventshop.Registry{
		URL:    strings.TrimRight(lookup(registryURL), "/"),
		Access: schema.Access{Username: lookup(registryUser), PasswordFile: lookup(registryPassword), CAFile: lookup(registryCA)},
	}
	if r.URL == f.RegistryForServices() {
		r.URL = f.URL[Registry] // as seen from outside the containers
	}
	return r
}

// registryEnv returns every service's settings for the registry.
func (f File) registryEnv() map[string]string {
	env := map[string]string{registryURL: f.RegistryForServices()}
	if f.RegistrySource.External() {
		for name, v := range map[string]string{
			registryUser: f.RegistryAccess.Username, registryPassword: f.RegistryAccess.PasswordFile, registryCA: f.RegistryAccess.CAFile,
		} {
			env[name] = v // "" counts as not set, and overrides the shell's value
		}
	}
	return env
}
