package cli_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"eventshop.example/cmd/shop/internal/cli"
	"eventshop.example/cmd/shop/internal/term"
)

// The test walks all commands, so that it also checks later ones.
func TestHelpFitsATerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	root := cli.Root(term.New(&out, &out, func(string) string { return "" }))
	var look func(c *cobra.Command)
	look = func(c *cobra.Command) {
		out.Reset()
		if err := c.Help(); err != nil {
			t.Fatal(err)
		}
		for l := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")); n > term.MaxWidth {
				t.Errorf("%s: %d columns: %s", c.CommandPath(), n, l)
			}
		}
		for _, sub := range c.Commands() {
			look(sub)
		}
	}
	look(root)
}
