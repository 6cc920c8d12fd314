// Command lint checks Go packages with the analyzers that docs/linters.md lists. It is a tool of
// the go command, which loads each package once for all analyzers and caches what they find:
//
//	go vet -vettool=.shop/bin/lint work
//
// scripts/lint builds and runs it. A finding that is right as it is has a directive on its line,
// with the name of the check and a reason:
//
//	defer remove() //nolint:errcheck // the rule names this customer only
//
// A directive without a reason is a finding, and so is one that suppresses nothing.
package main

import (
	"github.com/kisielk/errcheck/errcheck"
	"github.com/polyfloyd/go-errorlint/errorlint"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/nilness"
	"golang.org/x/tools/go/analysis/passes/unusedwrite"
	"golang.org/x/tools/go/analysis/unitchecker"
	"honnef.co/go/tools/analysis/lint"
	"honnef.co/go/tools/simple"
	"honnef.co/go/tools/staticcheck"
	"honnef.co/go/tools/stylecheck"
)

func main() {
	all := analyzers()
	known := map[string]bool{}
	for _, a := range all {
		known[a.Name] = true
	}
	for _, a := range all {
		honorDirectives(a)
	}
	unitchecker.Main(append(all, directivesAnalyzer(known))...)
}

// analyzers returns the kept analyzers with their settings.
func analyzers() []*analysis.Analyzer {
	var all []*analysis.Analyzer
	for _, set := range [][]*lint.Analyzer{staticcheck.Analyzers, simple.Analyzers, stylecheck.Analyzers} {
		for _, a := range set {
			// The checks that the staticcheck command runs when no configuration says otherwise.
			if !a.Doc.Compile().NonDefault {
				all = append(all, a.Analyzer)
			}
		}
	}
	errcheck.DefaultExcludedSymbols = append(errcheck.DefaultExcludedSymbols, ignorableErrors()...)
	return append(all, unusedAnalyzer(), errcheck.Analyzer, errorlint.NewAnalyzer(), nilness.Analyzer, unusedwrite.Analyzer, rowsAnalyzer())
}
