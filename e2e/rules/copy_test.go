package rules

import (
	"encoding/json"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// copied is the import path of the module that packages are copied into.
const copied = "copied.example/kit"

// TestPackagesCanBeCopied copies packages of the kit, each with its imports and its migrations,
// into an empty module with another path. They must build and vet there, and the Examples that are
// named here must run. Versions come from pkg/go.mod, and the copies use no module that pkg does
// not.
func TestPackagesCanBeCopied(t *testing.T) {
	t.Parallel()
	downloadModules(t)
	for pkg, examples := range map[string][]string{
		"outbox":   {"outbox/example_test.go"},
		"breaker":  {"breaker/example_test.go"},
		"consumer": {"consumer/example_test.go", "consumer/example_site_test.go"}, // with inbox, retry, reaction and relay
		"inbox":    nil, "eventstore": nil, "outbox/relay": nil,
	} {
		t.Run(pkg, func(t *testing.T) {
			t.Parallel()
			c := newCopy(t)
			packages, lines := c.take(t, "./pkg/"+pkg)
			t.Logf("pkg/%s takes along %d lines of %s", pkg, lines, strings.Join(packages, " "))
			if slices.Contains(packages, "events") {
				t.Errorf("pkg/%s takes the shop's events along", pkg)
			}
			// Without -trimpath, so that the workspace's compiled packages of other modules are
			// reused.
			c.run(t, "build", "./...")
			c.run(t, "vet", "./...")
			if examples == nil {
				return
			}
			for _, file := range examples {
				c.takeExample(t, file)
			}
			// Skipped without PostgreSQL, as the tests of pkg are.
			out := c.run(t, "test", "-count=1", "-run", "^Example", "-v", "./"+pkg)
			if !strings.Contains(out, "--- PASS: Example") && !strings.Contains(out, "examples are skipped") {
				t.Errorf("the example did not run:\n%s", out)
			}
		})
	}
}

// downloadModules downloads what pkg needs outside the workspace, whose versions may be later ones.
func downloadModules(t *testing.T) {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-test", "./...")
	cmd.Dir = filepath.Join(root(t), "pkg")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("download the modules of pkg: %v", err)
	}
}

// moduleCopy is the module that packages are copied into.
type moduleCopy struct{ root, dir string }

func newCopy(t *testing.T) moduleCopy {
	t.Helper()
	c := moduleCopy{root: root(t), dir: t.TempDir()}
	for _, file := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(c.root, "pkg", file))
		if err != nil {
			t.Fatal(err)
		}
		c.write(t, file, strings.Replace(string(text), "module "+prefix+"pkg\n", "module "+copied+"\n", 1))
	}
	return c
}

// take copies packages with their imports of the kit. It returns the names of all, and their number
// of lines of Go.
func (c moduleCopy) take(t *testing.T, patterns ...string) (packages []string, lines int) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-deps", "-json=ImportPath,Dir,GoFiles,IgnoredGoFiles,EmbedFiles"}, patterns...)...)
	cmd.Dir = c.root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v", patterns, err)
	}
	for list := json.NewDecoder(strings.NewReader(string(out))); list.More(); {
		var p struct {
			ImportPath, Dir                     string
			GoFiles, IgnoredGoFiles, EmbedFiles []string
		}
		if err := list.Decode(&p); err != nil {
			t.Fatal(err)
		}
		name, ours := strings.CutPrefix(p.ImportPath, prefix+"pkg/")
		if !ours {
			if strings.HasPrefix(p.ImportPath, prefix) {
				t.Errorf("%s imports %s, which is not of the kit", patterns, p.ImportPath)
			}
			continue
		}
		packages = append(packages, name)
		for _, file := range slices.Concat(p.GoFiles, p.IgnoredGoFiles, p.EmbedFiles) {
			text := c.file(t, filepath.Join(p.Dir, file), filepath.Join(name, file))
			if strings.HasSuffix(file, ".go") {
				lines += strings.Count(text, "\n")
			}
		}
	}
	if len(packages) == 0 {
		t.Fatalf("no package of the kit in %s", patterns)
	}
	return packages, lines
}

// takeExample copies a test file of the kit with its imports.
func (c moduleCopy) takeExample(t *testing.T, file string) {
	t.Helper()
	from := filepath.Join(c.root, "pkg", filepath.FromSlash(file))
	f, err := parser.ParseFile(token.NewFileSet(), from, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var imports []string
	for _, im := range f.Imports {
		if path, err := strconv.Unquote(im.Path.Value); err == nil && strings.HasPrefix(path, prefix) {
			imports = append(imports, path)
		}
	}
	c.take(t, imports...)
	c.file(t, from, filepath.FromSlash(file))
}

// file copies one file and changes the imports of the kit to those of the copy.
func (c moduleCopy) file(t *testing.T, from, to string) (text string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	text = strings.ReplaceAll(string(b), `"`+prefix+`pkg/`, `"`+copied+`/`)
	c.write(t, to, text)
	return text
}

func (c moduleCopy) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// run runs a go command in the copy.
func (c moduleCopy) run(t *testing.T, args ...string) (out string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod", "GOPROXY=off")
	b, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s in the copy: %v\n%s", strings.Join(args, " "), err, b)
	}
	return string(b)
}
