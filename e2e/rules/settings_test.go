package rules

import (
	"go/ast"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
)

// serviceNames returns the services by their folders.
func serviceNames(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob(filepath.Join(root(t), "services", "*", "README.md"))
	if err != nil || len(pages) < 5 {
		t.Fatalf("%d services found, %v", len(pages), err)
	}
	var all []string
	for _, page := range pages {
		all = append(all, filepath.Base(filepath.Dir(page)))
	}
	return all
}

// settings returns the table of settings that a service's program prints.
func settings(t *testing.T, name string) string {
	t.Helper()
	cmd := exec.Command("go", "run", "./services/"+name+"/cmd/"+name, "settings")
	cmd.Dir = root(t)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s settings: %v\n%s", name, err, out)
	}
	return string(out)
}

// TestSettings checks that each service's README and its containers have the settings that its
// program declares and prints.
func TestSettings(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root(t), "deploy", "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file composeFile
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, name := range serviceNames(t) {
		table := settings(t, name)
		pageLists(t, name, table)
		containersPass(t, name, table, file)
	}
}

// pageLists checks that the table under "Settings" in a service's README equals the given table.
func pageLists(t *testing.T, name, want string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root(t), "services", name, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Settings\n")
	section, _, _ = strings.Cut(section, "\n## ")
	table := strings.Join(regexp.MustCompile(`(?m)^\|.*\n`).FindAllString(section, -1), "")
	if diff := cmp.Diff(want, table); diff != "" {
		t.Errorf("services/%s/README.md is not what `go run ./services/%s/cmd/%s settings` prints (-program +page):\n%s", name, name, name, diff)
	}
}

// composeFile is the part of deploy/compose.yaml that the check reads.
type composeFile struct {
	Services map[string]struct{ Environment map[string]string }
}

// containersPass checks that a service's container sets every required setting, and that neither it
// nor the job that migrates the database sets one that the program does not declare.
func containersPass(t *testing.T, name, table string, file composeFile) {
	t.Helper()
	runtime := map[string]string{"GOMEMLIMIT": "Go's runtime reads it in every program"}
	row := regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| [^|]* \\| ([^|]*) \\|")
	known := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(table, -1) {
		if known[m[1]] {
			t.Errorf("%s declares %s twice", name, m[1])
		}
		known[m[1]] = true
		if _, passed := file.Services[name].Environment[m[1]]; m[2] == "required" && !passed {
			t.Errorf("the container of %s has no %s, which is required", name, m[1])
		}
	}
	if len(known) != strings.Count(table, "\n")-2 { // less the head of the table
		t.Fatalf("only %d settings of %s found: the pattern is broken", len(known), name)
	}
	for _, container := range []string{name, "migrate-" + name} {
		env := file.Services[container].Environment
		if len(env) == 0 {
			t.Errorf("deploy/compose.yaml has no environment for %s", container)
		}
		for variable := range env {
			if !known[variable] && runtime[variable] == "" {
				t.Errorf("the container %s has %s, which no setting of the service declares", container, variable)
			}
		}
	}
}

// TestServicesReadDeclaredSettingsOnly checks that no service reads its environment in another way.
func TestServicesReadDeclaredSettingsOnly(t *testing.T) {
	by := map[string]bool{
		"os.Getenv": true, "os.LookupEnv": true, "os.Environ": true, "os.ExpandEnv": true,
		"syscall.Getenv": true, "syscall.Environ": true, "service.NewEnv": true, "kafka.SecurityFromEnv": true,
	}
	for _, s := range sources(t) {
		if service(s.pkg) == "" && !strings.HasPrefix(s.pkg, "pkg/participant") || s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok && by[x.Name+"."+sel.Sel.Name] {
					t.Errorf("%s uses %s.%s: declare the variable as a service.Setting", s.path, x.Name, sel.Sel.Name)
				}
			}
			return true
		})
	}
}
