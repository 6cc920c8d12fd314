package stack

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"eventshop.example/ops/eventshop"
	"eventshop.example/ops/verify"
	"eventshop.example/pkg/schema"
)

func TestParseRegistrySource(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"embedded":                     "embedded",
		"http://registry:8081":         "http://registry:8081",
		"http://registry:8081/":        "http://registry:8081",
		"https://host/apis/ccompat/v7": "https://host/apis/ccompat/v7",
		"https://ada:pass@host:443":    "https://host:443",
		"http://[::1]:8081":            "http://[::1]:8081",
	} {
		if r, err := ParseRegistrySource(text); err != nil || r.String() != want || r.External() != (want != "embedded") {
			t.Errorf("%q: %q, %v", text, r, err)
		}
	}
	for _, text := range []string{
		"Embedded", "registry:8081", "registry", "http://", "http://:8081", "ftp://host", "http://host?x=pass", "http://host#pass", "http://ada:pass@host:no", "https://ada:pass@",
	} {
		r, err := ParseRegistrySource(text)
		if err == nil || strings.Contains(err.Error(), "pass") {
			t.Errorf("%q is %q, %v", text, r, err)
		}
	}
}

func newRegistryStack(t *testing.T) *Stack {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "state"), "", "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(s.State, 0o755); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAStackStaysWithItsRegistry: in another registry the ids of its records mean other schemas.
func TestAStackStaysWithItsRegistry(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		had, chosen, want RegistrySource
		fresh, compose    bool
		refused           bool
	}{
		{fresh: true, chosen: "", want: ""},
		{fresh: true, chosen: OwnRegistry, want: ""},
		{fresh: true, chosen: "http://a:1", want: "http://a:1"},
		{fresh: true, chosen: "http://ada:pass@a:1", want: "http://a:1"},
		{fresh: true, compose: true, chosen: "", want: ""},
		{fresh: true, compose: true, chosen: "http://a:1", refused: true},
		{fresh: true, compose: true, chosen: OwnRegistry, refused: true},
		{had: "", chosen: "", want: ""}, // as in every state from before there was a choice
		{had: "", chosen: OwnRegistry, want: ""},
		{had: "", chosen: "http://a:1", refused: true},
		{had: "http://a:1", chosen: "", want: "http://a:1"},
		{had: "http://a:1", chosen: "http://a:1", want: "http://a:1"},
		{had: "http://a:1", chosen: "http://ada:pass@a:1", want: "http://a:1"},
		{had: "http://a:1", chosen: "http://b:1", refused: true},
		{had: "http://a:1", chosen: "http://ada:pass@b:1", refused: true},
		{had: "http://a:1", chosen: OwnRegistry, refused: true},
	} {
		s := newRegistryStack(t)
		s.file.RegistrySource, s.file.Compose = c.had, c.compose
		if !c.fresh {
			s.file.Ports = DefaultPorts()
		}
		err := s.settleRegistry(c.chosen, schema.Access{})
		if (err != nil) != c.refused || err == nil && s.file.RegistrySource != c.want {
			t.Errorf("%q chosen with %q: %q, %v", c.chosen, c.had, string(s.file.RegistrySource), err)
		}
		if err != nil && strings.Contains(err.Error(), "pass") {
			t.Errorf("a password is told: %v", err)
		}
	}
}

// TestAccessToTheRegistry: access by settings, or by a URL that is split. It is stored for the next
// time, but never in state.json itself.
func TestAccessToTheRegistry(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("of a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	given := schema.Access{Username: "ada", PasswordFile: file}

	s := newRegistryStack(t)
	if err := s.settleRegistry("http://a:1", given); err != nil || s.file.RegistryAccess != given {
		t.Fatalf("%+v, %v", s.file.RegistryAccess, err)
	}
	s.file.Ports = DefaultPorts()
	if err := s.settleRegistry("", schema.Access{}); err != nil || s.file.RegistryAccess != given {
		t.Errorf("the next time: %+v, %v", s.file.RegistryAccess, err)
	}
	if err := s.settleRegistry("http://eve:%40pass@a:1", schema.Access{}); err != nil || s.file.RegistryAccess.Username != "eve" {
		t.Errorf("by the URL: %+v, %v", s.file.RegistryAccess, err)
	}
	if b, err := os.ReadFile(s.file.RegistryAccess.PasswordFile); err != nil || string(b) != "@pass" {
		t.Errorf("the password's file has %q, %v", b, err)
	}
	if info, err := os.Stat(s.file.RegistryAccess.PasswordFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the password's file: %v, %v", info, err)
	}
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(s.path()); err != nil || strings.Contains(string(b), "pass@") || strings.Contains(string(b), "%40pass") {
		t.Errorf("state.json has the password, or cannot be read: %v\n%s", err, b)
	}
	for name, c := range map[string]struct {
		chosen RegistrySource
		access schema.Access
	}{
		"twice":       {"http://eve:pass@a:1", given},
		"no password": {"http://eve@a:1", schema.Access{}},
		"no user":     {"http://:pass@a:1", schema.Access{}},
		"no file":     {"http://a:1", schema.Access{Username: "ada", PasswordFile: file + "x"}},
		"half":        {"http://a:1", schema.Access{Username: "ada"}},
	} {
		if err := newRegistryStack(t).settleRegistry(c.chosen, c.access); err == nil || strings.Contains(err.Error(), "pass@") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAGivenRegistryIsNotOurs: the stack neither starts nor stops it and has no port for it; every
// service gets its URL.
func TestAGivenRegistryIsNotOurs(t *testing.T) {
	t.Parallel()
	s := newRegistryStack(t)
	if err := s.settleRegistry("http://ada:pass@registry:8081/", schema.Access{}); err != nil {
		t.Fatal(err)
	}
	ports, err := s.ports(nil, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.listen(ports)
	if _, has := ports[Registry]; has || slices.Contains(s.expected(), Registry) {
		t.Error("it has a port, or is started")
	}
	if err := s.Kill(t.Context(), Registry); err == nil || !strings.Contains(err.Error(), "not this shop's") {
		t.Errorf("kill: %v", err)
	}
	if got := s.file.URL[Registry]; got != "http://registry:8081" {
		t.Errorf("tools are told of %q", got)
	}
	spec, err := s.spec("order")
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for _, kv := range spec.Env {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	want := map[string]string{registryURL: "http://registry:8081", registryUser: "ada", registryPassword: s.file.RegistryAccess.PasswordFile}
	maps.DeleteFunc(env, func(name, _ string) bool { return want[name] == "" })
	if !maps.Equal(env, want) {
		t.Errorf("a service is told %v, want %v", env, want)
	}
}

// TestToolsAskAsServicesDo: RegistryOf returns the registry that the service's program uses.
func TestToolsAskAsServicesDo(t *testing.T) {
	t.Setenv(registryUser, "of the shell")
	base := func() File { return File{URL: map[string]string{Registry: "http://own:1"}} }
	for name, c := range map[string]struct {
		file func() File
		want eventshop.Registry
	}{
		"embedded": {base, eventshop.Registry{URL: "http://own:1", Access: schema.Access{Username: "of the shell"}}},
		"given": {func() File {
			f := base()
			f.RegistrySource, f.URL[Registry] = "http://given:1", "http://given:1"
			f.RegistryAccess = schema.Access{CAFile: "ca.pem"}
			return f
		}, eventshop.Registry{URL: "http://given:1", Access: schema.Access{CAFile: "ca.pem"}}},
		"by a setting": {func() File {
			f := base()
			f.Env = map[string]map[string]string{
				"order":   {registryURL: "http://eve:pass@other:1/", registryUser: "ada", registryPassword: "file"},
				"payment": {registryURL: "http://third:1"},
			}
			return f
		}, eventshop.Registry{URL: "http://eve:pass@other:1", Access: schema.Access{Username: "ada", PasswordFile: "file"}}},
		"in containers": {func() File {
			f := base()
			f.Compose = true
			return f
		}, eventshop.Registry{URL: "http://own:1"}},
		"in containers, by a setting": {func() File {
			f := base()
			f.Compose = true
			f.Env = map[string]map[string]string{"order": {registryURL: "http://other:1"}}
			return f
		}, eventshop.Registry{URL: "http://other:1"}},
		"replicas that agree": {func() File {
			f := base()
			f.Replicas = map[string]int{"order": 3}
			f.Env = map[string]map[string]string{"order": {registryURL: "http://other:1"}, "order-3": {registryURL: "http://other:1"}}
			return f
		}, eventshop.Registry{URL: "http://other:1", Access: schema.Access{Username: "of the shell"}}},
	} {
		got, err := c.file().RegistryOf("order")
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, c.want)
		}
		if text := fmt.Sprintf("%v %s", got, got); strings.Contains(text, "pass") {
			t.Errorf("%s: shown as %s", name, text)
		}
	}
	f := base()
	f.Replicas = map[string]int{"order": 2}
	f.Env = map[string]map[string]string{"order-2": {registryURL: "http://eve:pass@other:1"}}
	if _, err := f.RegistryOf("order"); err == nil || !strings.Contains(err.Error(), "order-2 asks http://other:1") || strings.Contains(err.Error(), "pass") {
		t.Errorf("replicas that differ: %v", err)
	}
}

// TestProcessesThatDisagreeAreNotGuessedAbout: their records cannot be distinguished.
func TestProcessesThatDisagreeAreNotGuessedAbout(t *testing.T) {
	t.Parallel()
	f := File{
		URL: map[string]string{Registry: "http://own"}, Replicas: map[string]int{"payment": 2},
		Env: map[string]map[string]string{"payment-2": {"SCHEMA_REGISTRY_URL": "http://other"}},
	}
	if _, err := verify.SourcesOf(f.Addresses(), ""); err == nil || !strings.Contains(err.Error(), "payment-2 asks http://other") {
		t.Errorf("%v", err)
	}
	src, err := verify.SourcesOf(f.Addresses(), "http://named")
	if err != nil || src.Registries["payment"].Address != "http://named" || src.Registries["payment"] != src.Registries["order"] {
		t.Errorf("%+v, %v", src.Registries, err)
	}
}
