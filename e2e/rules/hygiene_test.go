package rules

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTheProjectSaysHowItIsChanged checks that there is a page for changing, reporting and copying,
// and that README names it.
func TestTheProjectSaysHowItIsChanged(t *testing.T) {
	dir := root(t)
	readme := read(t, filepath.Join(dir, "README.md"))
	for file, says := range map[string]string{
		"LICENSE":                          "Apache License",
		"CONTRIBUTING.md":                  "Adding a dependency is a big deal",
		"SECURITY.md":                      "private vulnerability reporting",
		"CHANGELOG.md":                     "## Unreleased",
		"docs/ci.md":                       ".ci/run",
		"docs/linters.md":                  "## Rejected",
		".editorconfig":                    "root = true",
		".github/pull_request_template.md": "CONTRIBUTING.md",
		".github/ISSUE_TEMPLATE/bug.md":    "shop verify",
		".github/ISSUE_TEMPLATE/change.md": "contract",
		".github/workflows/ci.yml":         "timeout-minutes: 90",
	} {
		if text := read(t, filepath.Join(dir, file)); !strings.Contains(text, says) {
			t.Errorf("%s does not say %q", file, says)
		}
	}
	for _, page := range []string{"LICENSE", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/ci.md"} {
		if !strings.Contains(readme, "("+page+")") {
			t.Errorf("README.md has no link to %s", page)
		}
	}
}

// TestCIRunsTheSameScript checks that the hosting platform's workflow only runs the script that
// developers run.
func TestCIRunsTheSameScript(t *testing.T) {
	workflow := read(t, filepath.Join(root(t), ".github", "workflows", "ci.yml"))
	commands := regexp.MustCompile(`(?m)^\s*(?:- )?run: *(.*)$`).FindAllStringSubmatch(workflow, -1)
	if len(commands) != 1 || commands[0][1] != "bash .ci/run" {
		t.Errorf("the workflow runs %q, want bash .ci/run alone", commands)
	}
	for _, want := range []string{"go-version-file: go.work", `java-version: "17"`} {
		if !strings.Contains(workflow, want) {
			t.Errorf("the workflow has no %s", want)
		}
	}
}

// TestLinksResolve checks that every link of the pages about changing the project leads to a file,
// and its fragment to a heading.
func TestLinksResolve(t *testing.T) {
	dir := root(t)
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	checked := 0
	for _, page := range []string{
		"CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "README.md", "docs/ci.md", "docs/linters.md", ".github/pull_request_template.md",
	} {
		for _, m := range link.FindAllStringSubmatch(read(t, filepath.Join(dir, filepath.FromSlash(page))), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			checked++
			file, fragment, _ := strings.Cut(m[1], "#")
			target := page
			if file != "" {
				target = path.Join(path.Dir(page), file)
			}
			info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(target)))
			if err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
				continue
			}
			if fragment != "" && (info.IsDir() || !slices.Contains(anchors(read(t, filepath.Join(dir, filepath.FromSlash(target)))), fragment)) {
				t.Errorf("%s links to %s, which has no such heading", page, m[1])
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d links found: the pattern is broken", checked)
	}
}

// anchors returns the fragments of a page's headings.
func anchors(page string) []string {
	var all []string
	drop := regexp.MustCompile(`[^a-z0-9 _-]`)
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		all = append(all, strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return all
}

// TestEveryStageIsExplained checks that docs/ci.md has a line for each stage of the script, and
// that the script names everything that it uses from outside the repository.
func TestEveryStageIsExplained(t *testing.T) {
	dir := root(t)
	script, page := read(t, filepath.Join(dir, ".ci", "run")), read(t, filepath.Join(dir, "docs", "ci.md"))
	stages := regexp.MustCompile(`(?m)^(?:stage|beside) "([^":(]+)`).FindAllStringSubmatch(script, -1)
	if len(stages) < 10 {
		t.Fatalf("only %d stages found: the pattern is broken", len(stages))
	}
	for _, m := range stages {
		name := strings.TrimSpace(m[1])
		explained := regexp.MustCompile(`(?m)^\| (?:.*, )?` + regexp.QuoteMeta(name) + `[ ,|]`)
		if !explained.MatchString(page) {
			t.Errorf("docs/ci.md has no line for the stage %q", name)
		}
	}
	head, body, found := strings.Cut(script, "set -euo pipefail")
	if !found {
		t.Fatal(".ci/run has no head")
	}
	for _, m := range regexp.MustCompile(`\.\./shared/[a-z]+`).FindAllString(body, -1) {
		if !strings.Contains(head, m) {
			t.Errorf("the head of .ci/run does not say what happens without %s", m)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
