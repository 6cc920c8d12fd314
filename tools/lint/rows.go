package main

import (
	"go/ast"
	"go/types"

	"golang.org/x/tools/go/analysis"
)

// rowsAnalyzer reports loops over database rows that are written by hand. Such a loop has to close
// the rows and to ask for their error, or it takes half a result for a whole one.
// pgx.ForEachRow and pgx.CollectRows do both.
func rowsAnalyzer() *analysis.Analyzer {
	return &analysis.Analyzer{
		Name: "pgxrows",
		Doc:  "report loops over pgx.Rows that are written by hand",
		Run: func(pass *analysis.Pass) (any, error) {
			for _, f := range pass.Files {
				ast.Inspect(f, func(n ast.Node) bool {
					call, ok := n.(*ast.CallExpr)
					if !ok {
						return true
					}
					sel, ok := call.Fun.(*ast.SelectorExpr)
					if ok && sel.Sel.Name == "Next" && isRows(pass.TypesInfo.TypeOf(sel.X)) {
						pass.Reportf(sel.Sel.Pos(), "rows are read by hand: pgx.ForEachRow and pgx.CollectRows close them and return their error")
					}
					return true
				})
			}
			return nil, nil
		},
	}
}

func isRows(t types.Type) bool {
	named, ok := types.Unalias(t).(*types.Named)
	if !ok || named.Obj().Pkg() == nil || named.Obj().Name() != "Rows" {
		return false
	}
	path := named.Obj().Pkg().Path()
	return path == "github.com/jackc/pgx/v5" || path == "database/sql"
}
