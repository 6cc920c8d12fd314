package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eventshop.example/local/stack"
	"eventshop.example/ops/verify"
)

// TestDoctorAsksEachRegistry: doctor asks each external registry once, without showing its
// password.
func TestDoctorAsksEachRegistry(t *testing.T) {
	t.Parallel()
	asked := 0
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"error_code":40401,"message":"Subject not found."}`)
	}))
	t.Cleanup(good.Close)
	bad := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(bad.Close)
	withUser := strings.Replace(bad.URL, "//", "//ada:secret@", 1)
	dir := t.TempDir()
	b, err := json.Marshal(stack.File{
		Ports: map[string]int{}, URL: map[string]string{stack.Registry: good.URL}, RegistrySource: stack.RegistrySource(good.URL),
		Replicas: map[string]int{"shipping": 2},
		Env: map[string]map[string]string{
			"payment": {"SCHEMA_REGISTRY_URL": withUser}, "shipping-2": {"SCHEMA_REGISTRY_URL": "http://another"},
		},
	})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "state.json"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := stack.Open(dir, "", "", t.Output())
	if err != nil {
		t.Fatal(err)
	}
	var reported []string
	registries(t.Context(), s, func(ok bool, what, found, _ string) {
		reported = append(reported, fmt.Sprint(ok, " ", what, " ", found))
	})
	want := []string{
		"true registry it answers at " + good.URL,
		"false registry " + bad.URL + " does not answer as a schema registry",
		"false registry shipping asks the schema registry " + good.URL + " and shipping-2 asks http://another",
	}
	if len(reported) != len(want) || asked != 1 {
		t.Fatalf("asked %d times; told %q", asked, reported)
	}
	for i, text := range reported {
		if !strings.HasPrefix(text, want[i]) || strings.Contains(text, "secret") {
			t.Errorf("%s, want %s…", text, want[i])
		}
	}
}

// TestRegistryFlags checks the flags of up and the environment variables.
func TestRegistryFlags(t *testing.T) {
	t.Setenv("SHOP_REGISTRY", "http://of-the-shell:8081")
	t.Setenv("SCHEMA_REGISTRY_USERNAME", "ada")
	t.Setenv("SCHEMA_REGISTRY_PASSWORD_FILE", "password")
	t.Setenv("SCHEMA_REGISTRY_CA_FILE", "ca.pem")
	for given, want := range map[string]string{"": "http://of-the-shell:8081", "http://given": "http://given", "embedded": "embedded"} {
		o, err := (&upFlags{registry: given}).options()
		if err != nil || o.Registry.String() != want || o.Access.Username != "ada" || o.Access.PasswordFile != "password" || o.Access.CAFile != "ca.pem" {
			t.Errorf("%q: %s with %+v, %v", given, o.Registry, o.Access, err)
		}
	}
	for _, wrong := range []string{"registry:8081", "http://ada:secret@host:x"} {
		if _, err := (&upFlags{registry: wrong}).options(); err == nil || !strings.Contains(err.Error(), "--registry or SHOP_REGISTRY") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

// TestWhatToDoAboutARegistry: the advice depends on the kind of registry and on its error.
func TestWhatToDoAboutARegistry(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		source stack.RegistrySource
		lacks  verify.Undecodable
		say    string
	}{
		"ours is away":    {"", verify.Undecodable{Address: "http://own", Away: true}, "shop start registry"},
		"a given is away": {"http://own", verify.Undecodable{Address: "http://own", Away: true}, "see that it runs and admits the shop"},
		"a service's":     {"", verify.Undecodable{Address: "http://other", Away: true}, "see that it runs and admits the shop"},
		"it lacks them":   {"", verify.Undecodable{Address: "http://own"}, "shop verify --registry URL"},
	} {
		dir := t.TempDir()
		b, err := json.Marshal(stack.File{Ports: map[string]int{}, URL: map[string]string{stack.Registry: "http://own"}, RegistrySource: c.source})
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "state.json"), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		s, err := stack.Open(dir, "", "", t.Output())
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		c.lacks.Events, c.lacks.Services, c.lacks.Why = 3, []string{"order", "payment"}, []string{"order.events/0/0: why"}
		for _, row := range (&env{out: &out}).undecodable(s, &verify.CannotDecode{Registries: []verify.Undecodable{c.lacks}}) {
			out.WriteString(strings.Join(row, " ") + "\n")
		}
		for _, want := range []string{"3 events of order, payment, with the schema registry at " + c.lacks.Address, "order.events/0/0: why", c.say} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: not said: %s\n%s", name, want, out.String())
			}
		}
	}
}
