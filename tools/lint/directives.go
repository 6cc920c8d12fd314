package main

import (
	"go/ast"
	"go/token"
	"regexp"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// directive suppresses the findings of one check on one line.
type directive struct {
	check  string
	reason string
	pos    token.Pos
	line   int
	file   string
}

// directivesOf returns the directives of a package's files.
func directivesOf(pass *analysis.Pass) []directive {
	text := regexp.MustCompile(`^//nolint(?::([A-Za-z0-9]+))?\s*(?://\s*(.*))?$`)
	var all []directive
	for _, f := range pass.Files {
		for _, group := range f.Comments {
			for _, c := range group.List {
				if !strings.HasPrefix(c.Text, "//nolint") {
					continue
				}
				at := pass.Fset.Position(c.Pos())
				d := directive{pos: c.Pos(), line: at.Line, file: at.Filename}
				if m := text.FindStringSubmatch(c.Text); m != nil {
					d.check, d.reason = m[1], m[2]
				}
				all = append(all, d)
			}
		}
	}
	return all
}

// honorDirectives has an analyzer report nothing in generated files and nothing that a directive
// suppresses, but each directive of its name that suppresses nothing. A finding names its check.
func honorDirectives(a *analysis.Analyzer) {
	run := a.Run
	a.Run = func(pass *analysis.Pass) (any, error) {
		used := map[token.Pos]bool{}
		own := map[string]map[int]directive{}
		for _, d := range directivesOf(pass) {
			if d.check == a.Name {
				if own[d.file] == nil {
					own[d.file] = map[int]directive{}
				}
				own[d.file][d.line] = d
			}
		}
		generated := map[string]bool{}
		for _, f := range pass.Files {
			if ast.IsGenerated(f) {
				generated[pass.Fset.Position(f.Pos()).Filename] = true
			}
		}
		report := pass.Report
		filtered := *pass
		filtered.Report = func(found analysis.Diagnostic) {
			at := pass.Fset.Position(found.Pos)
			if d, ok := own[at.Filename][at.Line]; ok {
				used[d.pos] = true
				return
			}
			if generated[at.Filename] || a.Name == "errcheck" && exempt(pass, found.Pos) {
				return
			}
			found.Message += " (" + a.Name + ")"
			report(found)
		}
		result, err := run(&filtered)
		for _, lines := range own {
			for _, d := range lines {
				if !used[d.pos] {
					report(analysis.Diagnostic{Pos: d.pos, Message: "the directive suppresses no finding of " + a.Name})
				}
			}
		}
		return result, err
	}
}

// directivesAnalyzer reports directives that name no check of this program or no reason.
func directivesAnalyzer(known map[string]bool) *analysis.Analyzer {
	return &analysis.Analyzer{
		Name: "directives",
		Doc:  "report directives without a known check or without a reason",
		Run: func(pass *analysis.Pass) (any, error) {
			for _, d := range directivesOf(pass) {
				switch {
				case !known[d.check]:
					pass.Reportf(d.pos, "the directive names no check of this linter: want //nolint:CHECK // reason")
				case d.reason == "":
					pass.Reportf(d.pos, "the directive has no reason: want //nolint:%s // reason", d.check)
				}
			}
			return nil, nil
		},
	}
}
