package main

import (
	"golang.org/x/tools/go/analysis"
	"honnef.co/go/tools/unused"
)

// unusedAnalyzer reports what staticcheck calls U1000. Its analyzer only computes the result, since
// the staticcheck command merges the results of a package with and without its tests. The go
// command checks a package together with its tests, so there is nothing to merge.
func unusedAnalyzer() *analysis.Analyzer {
	return &analysis.Analyzer{
		Name:     "U1000",
		Doc:      "report unused code",
		Requires: []*analysis.Analyzer{unused.Analyzer.Analyzer},
		Run: func(pass *analysis.Pass) (any, error) {
			result := pass.ResultOf[unused.Analyzer.Analyzer].(unused.Result)
			for _, o := range result.Unused {
				for _, f := range pass.Files {
					if file := pass.Fset.File(f.Pos()); file.Name() == o.Position.Filename {
						pass.Reportf(file.Pos(o.Position.Offset), "%s %s is unused", o.Kind, o.Name)
					}
				}
			}
			return nil, nil
		},
	}
}
