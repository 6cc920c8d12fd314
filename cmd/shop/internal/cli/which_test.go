package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOneLookAtDocker: a command that needs the shop in several places looks for it once, and
// reports once that the shop is docker compose's.
func TestOneLookAtDocker(t *testing.T) {
	folder := t.TempDir()
	root := filepath.Join(folder, "repository")
	for _, dir := range []string{"cmd/shop", "schemas", "deploy/secrets"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	asked := filepath.Join(folder, "asked")
	file := filepath.Join(root, "deploy", "compose.yaml")
	for path, text := range map[string]string{
		filepath.Join(root, "go.work"): "", file: "", filepath.Join(root, "deploy", "secrets", "postgres_password"): "secret",
		filepath.Join(folder, "docker"): "#!/bin/sh\necho \"$@\" >>'" + asked + "'\n" +
			"case \"$1\" in ps) case \"$*\" in *config_files*) printf 'eventshop\\t" + file + "\\trunning\\n';; esac;; inspect) echo '[]';; *) echo 2.0;; esac\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", folder+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("COMPOSE_PROJECT_NAME", "")
	var out, errOut bytes.Buffer
	e := &env{out: &out, errOut: &errOut, repo: root}
	looks := func() int {
		b, err := os.ReadFile(asked)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(b), "\n")
	}
	first, err := e.known()
	if err != nil || !first.File().Compose {
		t.Fatalf("%v; docker was asked %d times", err, looks())
	}
	before := looks()
	for range 3 {
		if again, err := e.known(); err != nil || again != first {
			t.Errorf("another stack is found: %v", err)
		}
	}
	if after := looks(); after != before {
		t.Errorf("docker is asked %d times more", after-before)
	}
	if n := strings.Count(errOut.String(), "docker compose runs"); n != 1 {
		t.Errorf("said %d times: %s", n, errOut.String())
	}
}
