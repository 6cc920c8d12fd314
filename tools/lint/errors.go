package main

import (
	"go/ast"
	"go/token"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// ignorableErrors lists functions whose error the caller may drop, beside those that errcheck
// itself leaves out.
func ignorableErrors() []string {
	return []string{
		// Text for a person. The commands notice at their end that their output failed.
		"fmt.Fprint", "fmt.Fprintf", "fmt.Fprintln", "(*text/tabwriter.Writer).Flush",
		// An answer whose reader has gone. The status is sent, and no one is left to tell.
		"(net/http.ResponseWriter).Write",
		// What was read is complete before the close.
		"(net.Conn).Close", "(net.Listener).Close", "(io.ReadCloser).Close",
		"(*github.com/jackc/pgx/v5.Conn).Close",
		// A file that is no longer needed.
		"os.Remove", "os.RemoveAll",
	}
}

// exempt reports whether a dropped error needs no directive: in tests, which assert what they look
// at, and where the call only cleans up.
func exempt(pass *analysis.Pass, pos token.Pos) bool {
	return strings.HasSuffix(pass.Fset.Position(pos).Filename, "_test.go") || cleansUp(pass, pos)
}

// cleansUp reports whether the call at a position is deferred and only releases something. The
// error of the function itself is the one that counts there. A file that was written has to be
// closed by a statement of its own before.
func cleansUp(pass *analysis.Pass, pos token.Pos) bool {
	found := false
	for _, f := range pass.Files {
		if pos < f.FileStart || pos >= f.FileEnd {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if n == nil || found || pos < n.Pos() || pos >= n.End() {
				return false
			}
			d, ok := n.(*ast.DeferStmt)
			if !ok {
				return true
			}
			sel, ok := d.Call.Fun.(*ast.SelectorExpr)
			found = ok && (sel.Sel.Name == "Close" || sel.Sel.Name == "Rollback")
			return true
		})
	}
	return found
}
