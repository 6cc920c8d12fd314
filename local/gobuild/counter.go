package gobuild

import (
	"bytes"
	"strings"
	"sync"
)

// counter parses what the go command writes to its standard error. It is safe for concurrent use.
type counter struct {
	mu    sync.Mutex
	rest  []byte // an unfinished line
	lines int    // lines of progress: modules, or packages
	other []string
}

// Write accepts the go command's output.
func (c *counter) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rest = append(c.rest, b...)
	for {
		line, rest, ended := bytes.Cut(c.rest, []byte("\n"))
		if !ended {
			return len(b), nil
		}
		c.take(string(line))
		c.rest = rest
	}
}

func (c *counter) take(line string) {
	if isProgress(line) {
		c.lines++
		return
	}
	c.other = append(c.other, line)
}

// isProgress reports whether a line only names a module that is downloaded, or with -v a package
// that is compiled, which is an import path without more text.
func isProgress(line string) bool {
	return strings.HasPrefix(line, "go: downloading ") || line != "" && !strings.ContainsAny(line, " :#\t")
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lines
}

// errors returns the lines that are not only progress.
func (c *counter) errors() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.rest) > 0 {
		return append(c.other, string(c.rest))
	}
	return c.other
}
