package stack

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eventshop.example/local/compose"
)

func TestWhichProjectIsAPlainOne(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	file := composeFileOf(root)
	link := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		projects []compose.Found
		want     string
		chosen   string // by COMPOSE_PROJECT_NAME
	}{
		{"none", nil, "", ""},
		{"by docker compose", []compose.Found{{Name: "eventshop", Running: 3, Configs: [][]string{{file}}}}, "eventshop", ""},
		{"by another path", []compose.Found{{Name: "eventshop", Running: 3, Configs: [][]string{{link}}}}, "eventshop", ""},
		{"under another name", []compose.Found{{Name: "mine", Running: 3, Configs: [][]string{{file}}}}, "mine", ""},
		{"with a file of the operator's", []compose.Found{{Name: "eventshop", Running: 3, Configs: [][]string{{file, "/x/mine.yaml"}}}}, "eventshop", ""},
		{"of several", []compose.Found{
			{Name: "a", Running: 3, Configs: [][]string{{file}}}, {Name: "eventshop", Running: 1, Configs: [][]string{{file}}},
			{Name: "z", Running: 3, Configs: [][]string{{file}}}}, "eventshop", ""},
		{"named", []compose.Found{
			{Name: "a", Running: 3, Configs: [][]string{{file}}}, {Name: "eventshop", Running: 1, Configs: [][]string{{file}}}}, "a", "a"},
		{"stopped", []compose.Found{{Name: "eventshop", Configs: [][]string{{file}}}}, "", ""},
		{"by shop up --compose", []compose.Found{{Name: "eventshop-0123456789", Running: 3, Configs: [][]string{{file, "/x/.shop/" + overrideName}}}}, "", ""},
		{"scaled by shop scale", []compose.Found{{Name: "eventshop", Running: 3, Configs: [][]string{{file}, {file, "/x/.shop/compose/" + overrideName}}}}, "eventshop", ""},
		{"of another checkout", []compose.Found{{Name: "eventshop", Running: 3, Configs: [][]string{{"/elsewhere/deploy/compose.yaml"}}}}, "", ""},
	} {
		got := ""
		if found := plain(c.projects, file, c.chosen); found != nil {
			got = found.Name
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// A project that docker compose created becomes a stack with its containers' ports, secrets and
// replicas, also for a command that takes the lock.
func TestAdopt(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(filepath.Join(t.TempDir(), "compose"), root, "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	secrets := t.TempDir()
	if err := os.WriteFile(filepath.Join(secrets, superuserPassword), []byte("se:cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err = s.adopt("eventshop", map[string]compose.Container{
		"order":     {Published: map[int]int{8080: 9001, 9080: 9002}},
		"payment":   {Published: map[int]int{8080: 8082, 9080: 9182}},
		"payment-2": {Published: map[int]int{8080: 20001, 9080: 20002}},
		"kafka":     {Published: map[int]int{19092: 29092}},
		"connect":   {Published: map[int]int{8083: 28083}},
		"registry":  {Published: map[int]int{8081: 28081}},
		"postgres-order": {Published: map[int]int{5432: 25431},
			Mounts: map[string]string{"/run/secrets/" + superuserPassword: filepath.Join(secrets, superuserPassword)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	release, err := s.exclusive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	release()
	f := s.File()
	for listener, want := range map[string]int{
		"order": 9001, "order-operator": 9002, "payment-2": 20001, "payment-2-operator": 20002, Broker: 29092, Registry: 28081,
		Connect: 28083, "postgres-order": 25431, "carrier": DefaultPorts()["carrier"],
	} {
		if f.Ports[listener] != want {
			t.Errorf("%s is on %d, want %d", listener, f.Ports[listener], want)
		}
	}
	if f.URL["order"] != "http://127.0.0.1:9001" || f.Operators["payment-2"] != "http://127.0.0.1:20002" || f.Kafka[0] != "127.0.0.1:29092" {
		t.Errorf("URLs %v, operators %v, Kafka %v", f.URL, f.Operators, f.Kafka)
	}
	if want := "postgres://postgres:se%3Acret@127.0.0.1:25431/order"; !strings.HasPrefix(f.DSN["order"], want) {
		t.Errorf("order's database is %s, want %s…", f.DSN["order"], want)
	}
	if !f.Capture || s.project().Name != "eventshop" {
		t.Errorf("capture %t, project %s", f.Capture, s.project().Name)
	}
	if _, ok := f.Ports[Postgres]; ok {
		t.Error("there is a port of the database server that only a stack of programs has")
	}
	if err := s.known("payment-2"); err != nil {
		t.Error(err)
	}
}
