package rules

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// verb is one target of the Makefile.
type verb struct {
	name, help string
	does       []string
}

// verbs reads the Makefile, without variables and rules for several targets.
func verbs(t *testing.T) (all []verb, phony []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root(t), "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	target := regexp.MustCompile(`^([a-z][a-z-]*):(?: *## (.+))?$`)
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(line, "\n")
		if names, ok := strings.CutPrefix(line, ".PHONY:"); ok {
			phony = strings.Fields(names)
		}
		if m := target.FindStringSubmatch(line); m != nil {
			all = append(all, verb{name: m[1], help: m[2]})
		}
		if does, ok := strings.CutPrefix(line, "\t"); ok && len(all) > 0 {
			all[len(all)-1].does = append(all[len(all)-1].does, does)
		}
	}
	if len(all) < 10 {
		t.Fatalf("only %d verbs found in the Makefile: the pattern is broken", len(all))
	}
	return all, phony
}

// TestMakefileVerbs checks that each verb is one line that names existing files, and that `make
// help` lists it.
func TestMakefileVerbs(t *testing.T) {
	dir := root(t)
	all, phony := verbs(t)
	script := regexp.MustCompile(`(?:^|[ =(])(\.?/?(?:scripts|\.ci|deploy)/[A-Za-z0-9_./-]+)`)
	for _, v := range all {
		if v.help == "" || len(v.does) != 1 {
			t.Errorf("make %s has the help %q and %d lines; want some help and one line", v.name, v.help, len(v.does))
		}
		if !slices.Contains(phony, v.name) {
			t.Errorf("make %s is not among .PHONY: a file of that name would replace it", v.name)
		}
		for _, does := range v.does {
			for _, m := range script.FindAllStringSubmatch(does, -1) {
				info, err := os.Stat(filepath.Join(dir, m[1]))
				if err != nil {
					t.Errorf("make %s: %v", v.name, err)
				} else if strings.Contains(m[1], "scripts/") && info.Mode()&0o111 == 0 {
					t.Errorf("make %s runs %s, which is not executable", v.name, m[1])
				}
			}
		}
	}
	for _, name := range phony {
		if !slices.ContainsFunc(all, func(v verb) bool { return v.name == name }) {
			t.Errorf(".PHONY names %s, which the Makefile has not", name)
		}
	}
}

// TestScriptsAreVerbs checks that every script has a make verb. Several verbs run the shop command
// itself; sourced scripts have no verb.
func TestScriptsAreVerbs(t *testing.T) {
	all, _ := verbs(t)
	scripts, err := filepath.Glob(filepath.Join(root(t), "scripts", "*"))
	if err != nil || len(scripts) < 5 {
		t.Fatalf("scripts: %v %v", scripts, err)
	}
	for _, script := range scripts {
		name := filepath.Base(script)
		if strings.HasSuffix(name, ".sh") {
			continue
		}
		runs := regexp.MustCompile(`\./scripts/` + regexp.QuoteMeta(name) + `(?:$|[ &|;])`)
		if !slices.ContainsFunc(all, func(v verb) bool { return runs.MatchString(strings.Join(v.does, "\n")) }) {
			t.Errorf("no verb of the Makefile runs scripts/%s", name)
		}
	}
}

// TestDocumentsNameVerbsThatExist checks every `make verb` in the pages.
func TestDocumentsNameVerbsThatExist(t *testing.T) {
	all, _ := verbs(t)
	dir := root(t)
	pages, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob(filepath.Join(dir, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	if pages = append(pages, more...); len(pages) < 5 {
		t.Fatalf("only %d pages found", len(pages))
	}
	named := regexp.MustCompile("(?m)(?:`|^)make ([a-z][a-z-]*)")
	for _, page := range pages {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(b), -1) {
			if !slices.ContainsFunc(all, func(v verb) bool { return v.name == m[1] }) {
				t.Errorf("%s names make %s, which the Makefile has not", filepath.Base(page), m[1])
			}
		}
	}
}
