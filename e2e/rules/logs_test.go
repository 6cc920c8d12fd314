package rules

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// logCalls returns the names of slog's functions and methods that write a line.
func logCalls() []string {
	return []string{"Debug", "Info", "Warn", "Error", "DebugContext", "InfoContext", "WarnContext", "ErrorContext", "Log"}
}

// TestLogAttributesHaveOneSpelling checks that an idea has one attribute name in all services,
// spelt as in the APIs (orderId, never order_id or order), because operators filter lines by
// attributes.
func TestLogAttributesHaveOneSpelling(t *testing.T) {
	spelling := regexp.MustCompile(`^[a-z][a-zA-Z0-9]*$`)
	idea := regexp.MustCompile(`^[A-Za-z]+(_[A-Za-z]+)*$`) // otherwise it is a message
	wrong := []string{"order", "orderID", "event_type", "correlation"}
	checked := 0
	for _, s := range sources(t) {
		shipped := strings.HasPrefix(s.pkg, "pkg/") || strings.HasPrefix(s.pkg, "services/") || strings.HasPrefix(s.pkg, "sandbox/")
		if !shipped || s.test || s.generated {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 2 {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains(logCalls(), sel.Sel.Name) {
				return true
			}
			checked++
			for _, arg := range call.Args {
				lit, ok := arg.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					continue
				}
				text, err := strconv.Unquote(lit.Value)
				if err != nil || !idea.MatchString(text) {
					continue
				}
				if !spelling.MatchString(text) || slices.Contains(wrong, text) {
					t.Errorf("%s logs the attribute %q", s.path, text)
				}
			}
			return true
		})
	}
	if checked < 50 {
		t.Fatalf("only %d log calls found: the search is broken", checked)
	}
}
