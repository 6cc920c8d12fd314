package rules

import (
	"fmt"
	"go/ast"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"eventshop.example/ops/eventshop"
	"eventshop.example/pkg/events"
)

// TestServicesAreListedOnce: the list that every tool and test uses is the folder's.
func TestServicesAreListedOnce(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join(root(t), "services"))
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	runs := map[string]bool{}
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(root(t), "services", e.Name(), "cmd")); err == nil {
			folders, runs[e.Name()] = append(folders, e.Name()), true
		} else if _, pure := aggregates[e.Name()]; !pure {
			t.Errorf("services/%s has neither a program nor an aggregate", e.Name())
		}
	}
	if listed := slices.Sorted(slices.Values(eventshop.Services())); !slices.Equal(listed, folders) {
		t.Errorf("ops/eventshop lists %q, services has %q", listed, folders)
	}
	publishing := []string{} // services with an aggregate, of which notification publishes nothing
	for name := range maps.Keys(aggregates) {
		if !runs[name] {
			continue // a table that proof checks, without a program
		}
		if source, err := os.ReadFile(filepath.Join(root(t), "services", name, "subscriptions.go")); err != nil {
			t.Error(err)
		} else if strings.Contains(string(source), "\nfunc emits()") {
			publishing = append(publishing, name)
		}
	}
	if slices.Sort(publishing); !slices.Equal(publishing, slices.Sorted(slices.Values(eventshop.Publishers()))) {
		t.Errorf("the services with an aggregate that emit events are %q, those that publish %q", publishing, eventshop.Publishers())
	}
}

// section is a heading of a page with the text below it.
type section struct{ heading, text string }

func page(t *testing.T, service string) []section {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "services", service, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var out []section
	for _, part := range strings.Split("\n"+string(text), "\n## ")[1:] {
		heading, body, _ := strings.Cut(part, "\n")
		out = append(out, section{heading, body})
	}
	return out
}

func textOf(t *testing.T, service, heading string) string {
	t.Helper()
	for _, s := range page(t, service) {
		if s.heading == heading {
			return s.text
		}
	}
	t.Fatalf("the page of %s has no section %s", service, heading)
	return ""
}

// TestServicePagesHaveOneSkeleton checks that all pages have the same headings in the same order. A
// service's special sections are between its states and its settings.
func TestServicePagesHaveOneSkeleton(t *testing.T) {
	first := []string{"What it is", "Owns", "Consumes", "Emits", "Endpoints", "States"}
	last := []string{"Settings", "Tables", "Metrics"}
	for _, name := range eventshop.Services() {
		var headings []string
		for _, s := range page(t, name) {
			headings = append(headings, s.heading)
			if strings.TrimSpace(s.text) == "" {
				t.Errorf("the page of %s says nothing under %s", name, s.heading)
			}
		}
		n := len(headings)
		if n < len(first)+len(last) || !slices.Equal(headings[:len(first)], first) || !slices.Equal(headings[n-len(last):], last) {
			t.Errorf("the page of %s has the headings %q, want first %q and last %q", name, headings, first, last)
		}
	}
}

// column returns the names in the first column of a section's table, by pattern.
func column(text string, pattern *regexp.Regexp) []string {
	var out []string
	rows := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		if rows++; rows <= 2 { // the heading and the line below it
			continue
		}
		first, _, _ := strings.Cut(strings.TrimPrefix(line, "|"), "|")
		for _, m := range pattern.FindAllStringSubmatch(first, -1) {
			out = append(out, m[1])
		}
	}
	slices.Sort(out)
	return out
}

// TestServicePagesNameTheirEvents checks that a page lists the events of the service's subscription
// table and those that it emits, each once.
func TestServicePagesNameTheirEvents(t *testing.T) {
	// An event's name begins with its subject. So a page's misspelt event is found too.
	subject := regexp.MustCompile(`^[A-Z][a-z]+`)
	var subjects []string
	for _, typ := range events.Catalogue().Types() {
		subjects = append(subjects, subject.FindString(typ.Name))
	}
	event := regexp.MustCompile(`\b((?:` + strings.Join(subjects, "|") + `)[A-Z]\w+)`)
	handled := regexp.MustCompile(`\b(?:a|app)\.On(\w+)\)`)
	emitted := regexp.MustCompile(`events\.TypeOf\[events\.(\w+)\]`)
	names := func(text string, pattern *regexp.Regexp) []string {
		var out []string
		for _, m := range pattern.FindAllStringSubmatch(text, -1) {
			out = append(out, m[1])
		}
		slices.Sort(out)
		return out
	}
	consumed := 0
	for _, name := range eventshop.Services() {
		source, err := os.ReadFile(filepath.Join(root(t), "services", name, "subscriptions.go"))
		if err != nil {
			t.Fatal(err)
		}
		subscriptions, emits, _ := strings.Cut(string(source), "\nfunc emits()")
		consumed += len(names(subscriptions, handled))
		if got, want := column(textOf(t, name, "Consumes"), event), names(subscriptions, handled); !slices.Equal(got, want) {
			t.Errorf("the page of %s consumes %v, its subscriptions are %v", name, got, want)
		}
		if got, want := column(textOf(t, name, "Emits"), event), names(emits, emitted); !slices.Equal(got, want) {
			t.Errorf("the page of %s emits %v, its subscriptions.go %v", name, got, want)
		}
	}
	if consumed < 40 {
		t.Errorf("only %d subscriptions were found", consumed)
	}
}

// TestServicePagesNameTheirTables checks that a page lists exactly the tables that the migrations
// of the service's components create. Day partitions belong to their table.
func TestServicePagesNameTheirTables(t *testing.T) {
	name := regexp.MustCompile("`(\\w+)`")
	all := sources(t)
	for _, service := range eventshop.Services() {
		packages := components(t, all, "services/"+service)
		packages["services/"+service] = true
		packages["pkg/postgres"] = true // its functions for day partitions are in every database
		want := []string{}
		for pkg := range packages {
			created := tablesOf(t, pkg)
			if len(created) == 0 {
				t.Errorf("%s is a component of %s and creates no table", pkg, service)
			}
			want = append(want, created...)
		}
		slices.Sort(want)
		if got := column(textOf(t, service, "Tables"), name); !slices.Equal(got, want) {
			t.Errorf("the page of %s names the tables\n%v, its migrations create\n%v", service, got, want)
		}
	}
}

// components returns the packages whose migrations a package's function Components names, directly
// or by the Components of a package that it calls.
func components(t *testing.T, all []source, pkg string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	found := false
	for _, s := range all {
		if s.pkg != pkg || s.test {
			continue
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || f.Name.Name != "Components" {
				continue
			}
			found = true
			ast.Inspect(f.Body, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				sel, ok := call.Fun.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				from, ok := sel.X.(*ast.Ident)
				if !ok {
					return true
				}
				imported := "pkg/" + from.Name
				if own := pkg + "/internal/" + from.Name; slices.Contains(s.imports, prefix+own) {
					imported = own // a projection's
				}
				switch {
				case sel.Sel.Name == "Components":
					maps.Copy(out, components(t, all, imported))
				case strings.HasSuffix(sel.Sel.Name, "Component"):
					out[imported] = true
				}
				return true
			})
		}
	}
	if !found {
		t.Errorf("%s has no function Components", pkg)
	}
	return out
}

// tablesOf returns the tables that a package's migrations create and do not drop later.
func tablesOf(t *testing.T, pkg string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root(t), filepath.FromSlash(pkg), "migrations", "*.sql"))
	if err != nil {
		t.Fatal(err)
	}
	create := regexp.MustCompile(`(?m)^CREATE (?:UNLOGGED )?TABLE (\w+)(.*)$`)
	drop := regexp.MustCompile(`(?m)^DROP TABLE (?:IF EXISTS )?(\w+(?:, \w+)*)`)
	var out []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		for _, m := range create.FindAllStringSubmatch(up, -1) {
			if !strings.Contains(m[2], "PARTITION OF") {
				out = append(out, m[1])
			}
		}
		for _, m := range drop.FindAllStringSubmatch(up, -1) {
			dropped := strings.Split(m[1], ", ")
			out = slices.DeleteFunc(out, func(table string) bool { return slices.Contains(dropped, table) })
		}
	}
	return out
}

// TestServicePagesNameTheirMetrics checks that a page lists exactly the metrics of the service and
// of its packages.
func TestServicePagesNameTheirMetrics(t *testing.T) {
	name := regexp.MustCompile("`(\\w+)(?:\\{[^}]*\\})?`")
	all := sources(t)
	defined := metrics(t, all)
	imports := map[string][]string{}
	for _, s := range all {
		if s.test {
			continue
		}
		for _, im := range s.imports {
			if ours, ok := strings.CutPrefix(im, prefix); ok {
				imports[s.pkg] = append(imports[s.pkg], ours)
			}
		}
	}
	for _, service := range eventshop.Services() {
		if wiring, err := os.ReadFile(filepath.Join(root(t), "services", service, "service.go")); err != nil || !strings.Contains(string(wiring), `MetricsPrefix: "`+metricsPrefix+`"`) {
			t.Errorf("services/%s/service.go passes another prefix of metrics than %s (%v)", service, metricsPrefix, err)
		}
		reached := map[string]bool{}
		var reach func(pkg string)
		reach = func(pkg string) {
			if reached[pkg] {
				return
			}
			reached[pkg] = true
			for _, im := range imports[pkg] {
				reach(im)
			}
		}
		reach("services/" + service + "/cmd/" + service)
		// Breaker metrics exist if the service makes calls through a breaker. Its own packages
		// import breakers then; the operators' API only lists them.
		breaks, projects := false, false // so do those of projections
		for pkg := range reached {
			breaks = breaks || strings.HasPrefix(pkg, "services/") && slices.Contains(imports[pkg], "pkg/breaker")
			projects = projects || strings.HasPrefix(pkg, "services/") && slices.Contains(imports[pkg], "pkg/projection")
		}
		want := []string{}
		for pkg := range reached {
			if (pkg != "pkg/breaker" || breaks) && (pkg != "pkg/projection" || projects) {
				want = append(want, defined[pkg]...)
			}
		}
		slices.Sort(want)
		if got := column(textOf(t, service, "Metrics"), name); !slices.Equal(got, want) {
			t.Errorf("the page of %s names other metrics than it exports (- page, + program):\n%s", service, difference(got, want))
		}
	}
}

// metricsPrefix is what every service passes as participant.Spec.MetricsPrefix.
const metricsPrefix = "eventshop_"

// metrics returns the exported names of the metrics that each package creates. Package participant
// puts the prefix before all of them but those of HTTP.
func metrics(t *testing.T, all []source) map[string][]string {
	t.Helper()
	name := regexp.MustCompile(`\bName:\s+"([a-z0-9_]+_[a-z0-9_]+)",`)
	out := map[string][]string{}
	for _, s := range all {
		if s.test || s.generated || !slices.Contains(s.imports, "github.com/prometheus/client_golang/prometheus") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(s.path)))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range name.FindAllStringSubmatch(string(text), -1) {
			exported := metricsPrefix + m[1]
			if s.pkg == "pkg/httpapi" {
				exported = m[1]
			}
			out[s.pkg] = append(out[s.pkg], exported)
		}
	}
	return out
}

func difference(got, want []string) string {
	var out strings.Builder
	for _, g := range got {
		if !slices.Contains(want, g) {
			fmt.Fprintf(&out, "- %s\n", g)
		}
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			fmt.Fprintf(&out, "+ %s\n", w)
		}
	}
	if out.Len() == 0 {
		return "one of them twice"
	}
	return out.String()
}
